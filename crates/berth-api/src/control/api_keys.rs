//! API keys of a project.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod show;

use berth_auth::api_keys::{KeyView, ShownKey};
use berth_domain::address::AddressList;
use berth_domain::id::{ApiKeyId, ServiceAccountId};
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use berth_store::api_key_secrets::ApiKeySecret;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::Item;

/// An API key. The text that clients send is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKey {
    /// Its id.
    api_key_id: ApiKeyId,
    /// The service account that holds it; a key without one is its maker's own.
    #[schema(required)]
    service_account_id: Option<ServiceAccountId>,
    /// What people read.
    title: Title,
    /// What it may do.
    scopes: PermissionSet,
    /// The names that it may call; null admits every name.
    #[schema(required)]
    models: Option<Vec<Handle>>,
    /// The networks from which it may be used; an empty list admits every address.
    addresses: AddressList,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops to hold by itself; null when it does not.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// When it was revoked; null when it was not.
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to some seconds; null when it was not.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
    /// What opens it: one secret, or two while the grace period of a rotation runs.
    secrets: Vec<KeySecret>,
}

/// A secret of a key, as far as it may be seen again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeySecret)]
pub(crate) struct KeySecret {
    /// The part of the text by which the key is recognized: `bth_<environment>_<public id>_…`.
    public_id: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it stops to open the key; null when it does not by itself.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
}

/// A key with the text that clients send, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeyWithText)]
pub(crate) struct KeyWithText {
    /// The key.
    #[serde(flatten)]
    key: ApiKey,
    /// The whole text. Store it now: it cannot be shown again.
    #[schema(example = "bth_live_…")]
    secret: String,
}

impl From<ApiKeySecret> for KeySecret {
    fn from(secret: ApiKeySecret) -> Self {
        Self {
            public_id: secret.public_id,
            created_at: secret.created_at,
            expires_at: secret.expires_at,
        }
    }
}

impl From<KeyView> for ApiKey {
    fn from(KeyView { key, secrets }: KeyView) -> Self {
        Self {
            api_key_id: key.id,
            service_account_id: key.service_account,
            title: key.title,
            scopes: key.scopes,
            models: key.models,
            addresses: key.addresses,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            secrets: secrets.into_iter().map(KeySecret::from).collect(),
        }
    }
}

impl From<ShownKey> for KeyWithText {
    fn from(shown: ShownKey) -> Self {
        Self {
            key: shown.view.into(),
            secret: shown.text.expose().to_owned(),
        }
    }
}

impl Item for ApiKey {
    fn id(&self) -> String {
        self.api_key_id.to_string()
    }
}
