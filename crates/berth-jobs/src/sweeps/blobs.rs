//! Files that no version refers to any more.
//!
//! An upload of the same bytes may come at any moment. It cannot lose them, because both sides go through the blob's row:
//!
//! - An upload first *touches* the row in a transaction of its own (it makes the row or renews its time), then stores the
//!   file if it is not there, then refers to the row in the transaction that makes the version.
//! - The sweep takes only rows that nothing refers to and that no upload touched for a day, locks them, deletes their
//!   files while it holds the locks, removes the rows, and commits.
//!
//! So if the touch comes first, the sweep passes the row by: its time is new. If the sweep comes first, the touch waits
//! for the lock, finds the row gone and makes it anew, and the look into the store that follows finds no file and stores
//! it. A sweep that dies in between has deleted files whose rows are still there and unreferenced: the next sweep
//! deletes nothing and removes the rows, and an upload that comes before it touches the row and stores the file again. When
//! Postgres drops the sweep's connection while files are being deleted, the locks are gone too early: that is why an upload
//! looks once more, after storing, whether its files are there.
//!
//! A file that cannot be deleted holds up no other: its row is moved back in the line and comes up again later.

use std::time::Duration;

use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use chrono::TimeDelta;
use futures_util::stream::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::{Error, Sweeps, Swept};
use crate::reason;

/// Rows in one transaction, at most: they stay locked until their files are deleted.
const BATCH: u32 = 50;
/// Files that are deleted at once.
const AT_ONCE: usize = 8;
/// How long the files of one batch may take. Postgres ends a transaction that idles longer than its own, larger limit.
const DELETING: Duration = Duration::from_secs(30);
/// When a file that could not be deleted comes up again.
const AGAIN: TimeDelta = TimeDelta::hours(1);

impl Sweeps {
    /// Deletes one batch. Tells whether there may be more.
    pub(super) async fn delete_unreferenced_blobs(&self, swept: &mut Swept) -> Result<bool, Error> {
        let batch = self.options.batch.min(BATCH);
        let mut tx = self.parts.store.system().await?;
        let touched_before = self.before(self.options.unreferenced_after);
        let claimed = tx.blobs().claim_unreferenced(touched_before, batch).await?;
        if claimed.is_empty() {
            return Ok(false);
        }
        let until = Instant::now() + DELETING;
        let results: Vec<_> = futures_util::stream::iter(claimed)
            .map(|blob| async move { (blob, self.delete(blob, until).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let (gone, kept): (Vec<_>, Vec<_>) = results.into_iter().partition(|(_, deleted)| *deleted);
        let gone: Vec<_> = gone.into_iter().map(|(blob, _)| blob).collect();
        let kept: Vec<_> = kept.into_iter().map(|(blob, _)| blob).collect();
        let count = u64::try_from(gone.len() + kept.len()).unwrap_or(u64::MAX);
        tx.blobs().remove(&gone).await?;
        tx.blobs().postpone(&kept, touched_before + AGAIN).await?;
        tx.commit().await?;
        swept.blobs += u64::try_from(gone.len()).unwrap_or(u64::MAX);
        Ok(count >= u64::from(batch))
    }

    /// Deletes one file; tells whether it is gone.
    async fn delete(&self, (organization, digest): (OrganizationId, Sha256), until: Instant) -> bool {
        match timeout_at(until, self.parts.artifacts.delete(organization, digest)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::warn!(
                reason = reason::in_words(&error),
                organization.id = %organization,
                "a file that nothing refers to cannot be deleted"
            ),
            Err(_) => tracing::warn!(organization.id = %organization, "deleting a file takes too long"),
        }
        false
    }
}
