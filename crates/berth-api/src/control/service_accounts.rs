//! Service accounts: what holds the keys of programs.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod disable;
pub(crate) mod enable;
pub(crate) mod list;
pub(crate) mod show;

use berth_domain::id::ServiceAccountId;
use berth_domain::name::{Handle, Title};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::Item;

/// A service account of a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceAccount {
    /// Its id.
    service_account_id: ServiceAccountId,
    /// A short name; no two service accounts of a project have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Since when its keys do not hold; null when they do.
    #[schema(required)]
    disabled_at: Option<DateTime<Utc>>,
}

impl From<berth_store::service_accounts::ServiceAccount> for ServiceAccount {
    fn from(account: berth_store::service_accounts::ServiceAccount) -> Self {
        Self {
            service_account_id: account.id,
            name: account.name,
            title: account.title,
            created_at: account.created_at,
            disabled_at: account.disabled_at,
        }
    }
}

impl Item for ServiceAccount {
    fn id(&self) -> String {
        self.service_account_id.to_string()
    }
}
