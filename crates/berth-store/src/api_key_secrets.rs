//! What opens an API key: one secret, or two while the grace period of a rotation runs.

use berth_domain::clock::Timestamp;
use berth_domain::id::{ApiKeyId, OrganizationId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};

/// The public id is taken, which happens to nobody who draws it at random.
pub const PUBLIC_ID_TAKEN: &str = "api_key_secrets_pkey";

/// A secret, without what would compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeySecret {
    /// The part of the key's text that finds it.
    pub public_id: String,
    /// The key that it opens.
    pub key: ApiKeyId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to open the key.
    pub expires_at: Option<Timestamp>,
}

/// A secret to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewApiKeySecret {
    /// The part of the key's text that finds it.
    pub public_id: String,
    /// The key that it opens.
    pub key: ApiKeyId,
    /// The keyed hash of the secret.
    pub secret_hash: [u8; 32],
    /// Which pepper keyed it.
    pub pepper_id: String,
    /// When it is made.
    pub created_at: Timestamp,
}

/// Secrets of API keys, inside a transaction.
pub struct ApiKeySecrets<'t>(pub(crate) &'t mut PgConnection);

impl ApiKeySecrets<'_> {
    /// Adds a secret. Fails by [`PUBLIC_ID_TAKEN`].
    pub async fn insert(
        &mut self,
        organization: OrganizationId,
        secret: &NewApiKeySecret,
    ) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO api_key_secrets (public_id, api_key_id, organization_id, secret_hash, pepper_id, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)",
            secret.public_id,
            secret.key.as_uuid(),
            organization.as_uuid(),
            &secret.secret_hash,
            secret.pepper_id,
            secret.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("api_key_secrets", done.rows_affected())
    }

    /// The secrets of these keys, the oldest of each first.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        keys: &[ApiKeyId],
    ) -> Result<Vec<ApiKeySecret>, Error> {
        let keys: Vec<Uuid> = keys.iter().map(|key| key.as_uuid()).collect();
        let rows = sqlx::query!(
            "SELECT public_id, api_key_id, created_at, expires_at
            FROM api_key_secrets
            WHERE organization_id = $1 AND api_key_id = ANY($2)
            ORDER BY api_key_id, created_at, public_id",
            organization.as_uuid(),
            &keys,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows
            .into_iter()
            .map(|stored| ApiKeySecret {
                public_id: stored.public_id,
                key: ApiKeyId::from_uuid(stored.api_key_id),
                created_at: stored.created_at,
                expires_at: stored.expires_at,
            })
            .collect())
    }

    /// Lets every secret of the key but one stop at `at`, if it would not stop earlier. Answers how many will.
    pub async fn expire_others(
        &mut self,
        organization: OrganizationId,
        key: ApiKeyId,
        keep_public_id: &str,
        at: Timestamp,
    ) -> Result<u64, Error> {
        let done = sqlx::query!(
            "UPDATE api_key_secrets
            SET expires_at = $4
            WHERE organization_id = $1
                AND api_key_id = $2
                AND public_id <> $3
                AND (expires_at IS NULL OR expires_at > $4)",
            organization.as_uuid(),
            key.as_uuid(),
            keep_public_id,
            at,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes a secret. Answers whether it was there.
    pub async fn remove(
        &mut self,
        organization: OrganizationId,
        key: ApiKeyId,
        public_id: &str,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "DELETE FROM api_key_secrets
            WHERE organization_id = $1 AND api_key_id = $2 AND public_id = $3",
            organization.as_uuid(),
            key.as_uuid(),
            public_id,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("api_key_secrets", done.rows_affected())
    }
}
