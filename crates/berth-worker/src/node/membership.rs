//! The node's lease, and what it says of itself and its replicas.

use std::time::Duration;

use berth_coordination::Fleet;
use berth_coordination::records::WorkerRecord;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::Board;

/// How often within its time the lease is renewed: it survives two that fail.
const RENEWALS: u32 = 3;

/// Says that the node is there.
pub(super) struct Membership {
    fleet: Fleet,
    record: WorkerRecord,
    board: Board,
    lease: Duration,
}

impl Membership {
    pub(super) const fn new(fleet: Fleet, record: WorkerRecord, board: Board, lease: Duration) -> Self {
        Self {
            fleet,
            record,
            board,
            lease,
        }
    }

    /// Announces node and replicas: when something changes, and often enough to keep the lease. From `leaving` on the
    /// node is said to drain; at `gone` it is taken off the list.
    pub(super) async fn run(mut self, leaving: CancellationToken, gone: CancellationToken) {
        let mut changes = self.board.watch();
        let mut tick = interval(self.lease / RENEWALS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reachable = true;
        loop {
            tokio::select! {
                () = gone.cancelled() => break,
                () = leaving.cancelled(), if !self.record.draining => self.record.draining = true,
                changed = changes.changed() => if changed.is_err() { break },
                _ = tick.tick() => {}
            }
            changes.mark_unchanged();
            let announced = self.announce().await;
            // Said once when it begins and once when it ends, not at every beat.
            match &announced {
                Err(error) if reachable => {
                    tracing::warn!(%error, source = ?std::error::Error::source(error), "the fleet cannot be told of this node");
                }
                Ok(()) if !reachable => tracing::info!("the fleet can be told of this node again"),
                _ => {}
            }
            reachable = announced.is_ok();
        }
        if let Err(error) = self.fleet.remove_worker(self.record.id).await {
            tracing::warn!(%error, "the node leaves without a word: its lease runs out");
        }
    }

    async fn announce(&self) -> Result<(), berth_coordination::Error> {
        // The replicas first: whoever hears of a new node may look for what it holds.
        let records = self.board.records();
        self.fleet
            .publish_replicas(self.record.id, &records, self.lease)
            .await?;
        self.fleet.announce_worker(&self.record, self.lease).await
    }
}
