//! Organizations, as their members see them.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod resume;
pub(crate) mod show;
pub(crate) mod suspend;
pub(crate) mod update;

use berth_domain::id::OrganizationId;
use berth_domain::model::TenantStatus;
use berth_domain::name::{Handle, Title};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::Item;

/// An organization: a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Organization {
    /// Its id.
    organization_id: OrganizationId,
    /// A short name; no two organizations have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// Whether it may be used.
    status: TenantStatus,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<berth_store::organizations::Organization> for Organization {
    fn from(organization: berth_store::organizations::Organization) -> Self {
        Self {
            organization_id: organization.id,
            status: organization.status(),
            name: organization.name,
            title: organization.title,
            created_at: organization.created_at,
        }
    }
}

impl Item for Organization {
    fn id(&self) -> String {
        self.organization_id.to_string()
    }
}
