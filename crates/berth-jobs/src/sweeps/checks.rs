//! Versions whose check got lost: its message was set aside by hand, or lay in a queue that forgets.

use berth_domain::id::{MessageId, VersionId};
use berth_domain::work::ModelCheck;

use super::{Error, Sweeps, Swept};

impl Sweeps {
    /// Announces one batch anew, through the outbox. Tells whether there may be more.
    pub(super) async fn announce_stuck_checks(&self, swept: &mut Swept) -> Result<bool, Error> {
        let parts = &self.parts;
        let (clock, random) = (&*parts.clock, &*parts.random);
        let mut tx = parts.store.system().await?;
        let announced_before = self.before(self.options.stuck_after);
        let stuck = tx
            .versions()
            .stuck_checking(announced_before, self.options.batch)
            .await?;
        if stuck.is_empty() {
            return Ok(false);
        }
        let now = clock.now();
        for unchecked in &stuck {
            let check = ModelCheck {
                version: unchecked.version,
            };
            tx.outbox()
                .add(
                    MessageId::new(clock, random),
                    Some(unchecked.organization),
                    &check,
                    None,
                    now,
                )
                .await?;
            tracing::warn!(version.id = %unchecked.version, "the check of a version got lost and is announced again");
        }
        let versions: Vec<VersionId> = stuck.iter().map(|unchecked| unchecked.version).collect();
        tx.versions().announced(&versions, now).await?;
        tx.commit().await?;
        let count = u64::try_from(versions.len()).unwrap_or(u64::MAX);
        swept.checks += count;
        Ok(count >= u64::from(self.options.batch))
    }
}
