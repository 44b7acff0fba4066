//! Blobs that nothing refers to any more.

use berth_domain::clock::Timestamp;
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, rows};
use crate::row::Row;

/// Every blob, inside a transaction.
pub struct Blobs<'t>(pub(crate) &'t mut PgConnection);

impl Blobs<'_> {
    /// Blobs that no version refers to and that no upload touched since `touched_before`, locked until the transaction ends.
    /// Delete their objects, then [`Blobs::remove`] them and commit: an upload of the same bytes waits meanwhile and then
    /// stores them anew. If anything fails, roll back; the blob is found again.
    pub async fn claim_unreferenced(
        &mut self,
        touched_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(OrganizationId, Sha256)>, Error> {
        let rows = sqlx::query!(
            "SELECT organization_id, digest
            FROM blobs
            WHERE touched_at < $1
                AND NOT EXISTS (
                    SELECT FROM version_files
                    WHERE version_files.organization_id = blobs.organization_id
                        AND version_files.digest = blobs.digest
                )
            ORDER BY touched_at
            LIMIT $2
            FOR UPDATE SKIP LOCKED",
            touched_before,
            i64::from(limit),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter()
            .map(|stored| {
                let digest = Row::new("blobs", stored.organization_id).digest("digest", &stored.digest)?;
                Ok((OrganizationId::from_uuid(stored.organization_id), digest))
            })
            .collect()
    }

    /// Lets claimed blobs whose objects could not be deleted wait as if they had been touched at `touched_at`, so that they
    /// do not stand in the way of others.
    pub async fn postpone(
        &mut self,
        blobs: &[(OrganizationId, Sha256)],
        touched_at: Timestamp,
    ) -> Result<(), Error> {
        let (organizations, digests) = columns(blobs);
        let done = sqlx::query!(
            "UPDATE blobs
            SET touched_at = $3
            FROM UNNEST($1::uuid[], $2::bytea[]) AS kept (organization_id, digest)
            WHERE blobs.organization_id = kept.organization_id AND blobs.digest = kept.digest",
            &organizations,
            &digests,
            touched_at,
        )
        .execute(&mut *self.0)
        .await?;
        rows("blobs", blobs.len(), done.rows_affected())
    }

    /// Removes claimed blobs whose objects are gone.
    pub async fn remove(&mut self, blobs: &[(OrganizationId, Sha256)]) -> Result<(), Error> {
        let (organizations, digests) = columns(blobs);
        let done = sqlx::query!(
            "DELETE FROM blobs
            USING UNNEST($1::uuid[], $2::bytea[]) AS gone (organization_id, digest)
            WHERE blobs.organization_id = gone.organization_id AND blobs.digest = gone.digest",
            &organizations,
            &digests,
        )
        .execute(&mut *self.0)
        .await?;
        rows("blobs", blobs.len(), done.rows_affected())
    }
}

fn columns(blobs: &[(OrganizationId, Sha256)]) -> (Vec<Uuid>, Vec<Vec<u8>>) {
    blobs
        .iter()
        .map(|(organization, digest)| (organization.as_uuid(), digest.as_bytes().to_vec()))
        .unzip()
}
