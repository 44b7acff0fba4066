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
//! deletes nothing and removes the rows, and an upload that comes before it touches the row and stores the file again.

use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use super::{Error, Sweeps, Swept};

/// Rows in one transaction, at most: they stay locked until their files are deleted.
const BATCH: u32 = 50;
/// Files that are deleted at once.
const AT_ONCE: usize = 8;

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
        let delete = |&(organization, digest): &(OrganizationId, Sha256)| {
            self.parts.artifacts.delete(organization, digest)
        };
        futures_util::stream::iter(&claimed)
            .map(delete)
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        tx.blobs().remove(&claimed).await?;
        tx.commit().await?;
        let count = u64::try_from(claimed.len()).unwrap_or(u64::MAX);
        swept.blobs += count;
        Ok(count >= u64::from(batch))
    }
}
