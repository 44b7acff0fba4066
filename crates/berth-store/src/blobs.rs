//! The bytes of an organization's model files, by digest.

use berth_domain::clock::Timestamp;
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use sqlx::PgConnection;

use crate::error::{Error, one_row};
use crate::row::Row;

/// Blobs, inside a transaction.
pub struct Blobs<'t>(pub(crate) &'t mut PgConnection);

impl Blobs<'_> {
    /// Announces that the object of these bytes is about to be stored and referred to. Commit before storing it: from then
    /// on the sweep leaves the object alone for as long as an upload may take.
    pub async fn touch(
        &mut self,
        organization: OrganizationId,
        digest: &Sha256,
        size_bytes: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let size_bytes: i64 = Row::new("blobs", digest).number("size_bytes", size_bytes)?;
        let done = sqlx::query!(
            "INSERT INTO blobs (organization_id, digest, size_bytes, created_at, touched_at)
            VALUES ($1, $2, $3, $4, $4)
            ON CONFLICT (organization_id, digest)
                DO UPDATE SET touched_at = GREATEST(blobs.touched_at, excluded.touched_at)",
            organization.as_uuid(),
            digest.as_bytes(),
            size_bytes,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("blobs", done.rows_affected())
    }
}
