//! API keys: what limits and usage hang on. What opens them is in [`crate::api_key_secrets`].

use berth_domain::address::AddressList;
use berth_domain::clock::Timestamp;
use berth_domain::creator::Creator;
use berth_domain::id::{ApiKeyId, OrganizationId, ProjectId, ServiceAccountId, UserId};
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::{Row, creator_columns, permission_texts, permissions};

/// The service account is not one of the key's project.
pub const NO_SUCH_SERVICE_ACCOUNT: &str = "api_keys_service_account_id_fkey";

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The organization.
    pub organization: OrganizationId,
    /// The project that it works in.
    pub project: ProjectId,
    /// The service account that holds it; a key without one is its maker's own.
    pub service_account: Option<ServiceAccountId>,
    /// What people read.
    pub title: Title,
    /// What it may do.
    pub scopes: PermissionSet,
    /// The names that it may call; `None` admits every name.
    pub models: Option<Vec<Handle>>,
    /// Where it may be used from.
    pub addresses: AddressList,
    /// Who made it.
    pub created_by: Creator,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to hold by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, as far as that has been noted.
    pub last_used_at: Option<Timestamp>,
}

/// An API key to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The project that it works in.
    pub project: ProjectId,
    /// The service account that holds it.
    pub service_account: Option<ServiceAccountId>,
    /// What people read.
    pub title: Title,
    /// What it may do.
    pub scopes: PermissionSet,
    /// The names that it may call; `None` admits every name.
    pub models: Option<Vec<Handle>>,
    /// Where it may be used from.
    pub addresses: AddressList,
    /// Who makes it.
    pub created_by: Creator,
    /// When it is made.
    pub created_at: Timestamp,
    /// When it stops to hold by itself.
    pub expires_at: Option<Timestamp>,
}

/// API keys, inside a transaction.
pub struct ApiKeys<'t>(pub(crate) &'t mut PgConnection);

impl ApiKeys<'_> {
    /// Adds a key. Fails by [`NO_SUCH_SERVICE_ACCOUNT`].
    pub async fn insert(&mut self, organization: OrganizationId, key: &NewApiKey) -> Result<(), Error> {
        let models = key.models.as_deref().map(handle_texts);
        let (by_user, by_key) = creator_columns(key.created_by);
        let done = sqlx::query!(
            "INSERT INTO api_keys (api_key_id, organization_id, project_id, service_account_id, title, scopes, models,
                addresses, created_by_user_id, created_by_key_id, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text[]::cidr[], $9, $10, $11, $12)",
            key.id.as_uuid(),
            organization.as_uuid(),
            key.project.as_uuid(),
            key.service_account.map(ServiceAccountId::as_uuid),
            key.title.as_str(),
            &permission_texts(&key.scopes),
            models.as_deref(),
            &address_texts(&key.addresses),
            by_user,
            by_key,
            key.created_at,
            key.expires_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("api_keys", done.rows_affected())
    }

    /// The key.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        key: ApiKeyId,
    ) -> Result<Option<ApiKey>, Error> {
        sqlx::query_as!(
            ApiKeyRow,
            r#"SELECT api_key_id, organization_id, project_id, service_account_id, title, scopes, models,
                addresses::text[] AS "addresses!", created_by_user_id, created_by_key_id, created_at, expires_at,
                revoked_at, last_used_at
            FROM api_keys
            WHERE organization_id = $1 AND api_key_id = $2"#,
            organization.as_uuid(),
            key.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(ApiKey::try_from)
        .transpose()
    }

    /// The key, locked until the transaction ends, so that two rotations come one after the other.
    pub async fn lock(
        &mut self,
        organization: OrganizationId,
        key: ApiKeyId,
    ) -> Result<Option<ApiKey>, Error> {
        sqlx::query_as!(
            ApiKeyRow,
            r#"SELECT api_key_id, organization_id, project_id, service_account_id, title, scopes, models,
                addresses::text[] AS "addresses!", created_by_user_id, created_by_key_id, created_at, expires_at,
                revoked_at, last_used_at
            FROM api_keys
            WHERE organization_id = $1 AND api_key_id = $2
            FOR NO KEY UPDATE"#,
            organization.as_uuid(),
            key.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(ApiKey::try_from)
        .transpose()
    }

    /// The keys of a project, revoked and expired ones among them.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<ApiKeyId>,
    ) -> Result<List<ApiKey>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            ApiKeyRow,
            r#"SELECT api_key_id, organization_id, project_id, service_account_id, title, scopes, models,
                addresses::text[] AS "addresses!", created_by_user_id, created_by_key_id, created_at, expires_at,
                revoked_at, last_used_at
            FROM api_keys
            WHERE organization_id = $4 AND project_id = $5"#,
            "api_key_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Revokes the key. Answers whether it was not revoked before.
    pub async fn revoke(
        &mut self,
        organization: OrganizationId,
        key: ApiKeyId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE api_keys
            SET revoked_at = $3
            WHERE organization_id = $1 AND api_key_id = $2 AND revoked_at IS NULL",
            organization.as_uuid(),
            key.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("api_keys", done.rows_affected())
    }

    /// Revokes the keys that are `user`'s own, in one project or in all of the organization: for when they no longer belong
    /// there. Answers which.
    pub async fn revoke_of_user(
        &mut self,
        organization: OrganizationId,
        project: Option<ProjectId>,
        user: UserId,
        now: Timestamp,
    ) -> Result<Vec<ApiKeyId>, Error> {
        let revoked = sqlx::query_scalar!(
            "UPDATE api_keys
            SET revoked_at = $4
            WHERE organization_id = $1
                AND ($2::uuid IS NULL OR project_id = $2)
                AND service_account_id IS NULL
                AND created_by_user_id = $3
                AND revoked_at IS NULL
            RETURNING api_key_id",
            organization.as_uuid(),
            project.map(ProjectId::as_uuid),
            user.as_uuid(),
            now,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(revoked.into_iter().map(ApiKeyId::from_uuid).collect())
    }
}

fn handle_texts(handles: &[Handle]) -> Vec<String> {
    handles.iter().map(ToString::to_string).collect()
}

/// Networks as `cidr` wants them: without bits behind the prefix.
fn address_texts(addresses: &AddressList) -> Vec<String> {
    addresses
        .networks()
        .iter()
        .map(|network| network.trunc().to_string())
        .collect()
}

/// The networks of a stored list.
pub(crate) fn address_list(row: &Row, texts: &[String]) -> Result<AddressList, Error> {
    row.parse_all::<IpNet>("addresses", texts).map(AddressList::new)
}

struct ApiKeyRow {
    api_key_id: Uuid,
    organization_id: Uuid,
    project_id: Uuid,
    service_account_id: Option<Uuid>,
    title: String,
    scopes: Vec<String>,
    models: Option<Vec<String>>,
    addresses: Vec<String>,
    created_by_user_id: Option<Uuid>,
    created_by_key_id: Option<Uuid>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = Error;

    fn try_from(stored: ApiKeyRow) -> Result<Self, Error> {
        let row = Row::new("api_keys", stored.api_key_id);
        Ok(Self {
            id: ApiKeyId::from_uuid(stored.api_key_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: ProjectId::from_uuid(stored.project_id),
            service_account: stored.service_account_id.map(ServiceAccountId::from_uuid),
            title: row.parse("title", &stored.title)?,
            scopes: permissions(&stored.scopes),
            models: stored
                .models
                .map(|models| row.parse_all("models", &models))
                .transpose()?,
            addresses: address_list(&row, &stored.addresses)?,
            created_by: row.creator(stored.created_by_user_id, stored.created_by_key_id)?,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            revoked_at: stored.revoked_at,
            last_used_at: stored.last_used_at,
        })
    }
}
