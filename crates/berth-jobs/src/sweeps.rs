//! Sweeps: what is over is removed, what got lost is set going again.
//!
//! Each sweep looks at the stored state alone, works in small batches of one transaction each, and may run twice at the
//! same time without harm. A lease lets only one process of the installation sweep at a time, to save work; nothing
//! depends on it.

mod blobs;
mod checks;
mod expired;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use berth_artifacts::ArtifactStore;
use berth_coordination::Coordination;
use berth_domain::clock::Clock;
use berth_domain::random::Random;
use berth_store::Store;
use chrono::TimeDelta;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const LEASE: &str = "sweeps";

/// How sweeps run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who holds the lease: a name of this process alone.
    pub holder: String,
    /// How often they run.
    pub every: Duration,
    /// Rows in one transaction, at most.
    pub batch: u32,
    /// A version that waits for its check is announced again when nobody has taken the check up for so long. Longer than
    /// a check may take.
    pub stuck_after: Duration,
    /// A file that no version refers to is deleted when no upload has named it for so long. Longer than an upload may
    /// take.
    pub unreferenced_after: Duration,
    /// Sessions and secrets of keys are kept for so long after they ended, to be looked at.
    pub keep_ended: Duration,
    /// Invitations and requests for a password are kept for so long after they expired.
    pub keep_expired: Duration,
}

impl Options {
    /// The usual times, for a process called `holder`, where a check may take `check` at most.
    pub fn new(holder: String, check: Duration) -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            holder,
            every: Duration::from_mins(1),
            batch: 500,
            stuck_after: check + Duration::from_mins(5),
            unreferenced_after: DAY,
            keep_ended: 7 * DAY,
            keep_expired: 30 * DAY,
        }
    }
}

/// What sweeps work on.
#[derive(Clone)]
pub struct Parts {
    /// Where rows are.
    pub store: Store,
    /// Where files are.
    pub artifacts: ArtifactStore,
    /// Where the lease is.
    pub coordination: Arc<dyn Coordination>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub random: Arc<dyn Random>,
}

/// Why a sweep was broken off; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Rows cannot be read or changed.
    #[error("rows cannot be swept")]
    Store(#[from] berth_store::Error),
    /// The lease cannot be asked for.
    #[error("the lease of the sweeps cannot be asked for")]
    Coordination(#[from] berth_coordination::Error),
}

/// How much was swept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that were over.
    pub expired: u64,
    /// Files that no version refers to.
    pub blobs: u64,
    /// Checks that were announced again.
    pub checks: u64,
}

/// The sweeps.
pub struct Sweeps {
    parts: Parts,
    options: Options,
}

impl fmt::Debug for Sweeps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Sweeps")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Sweeps {
    /// Sweeps over these.
    pub fn new(parts: Parts, options: Options) -> Self {
        Self { parts, options }
    }

    /// Runs until `shutdown`; a batch that is under way is finished.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(self.options.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            match self.round(&shutdown).await {
                Ok(swept) if swept == Swept::default() => {}
                Ok(Swept {
                    expired,
                    blobs,
                    checks,
                }) => tracing::info!(expired, blobs, checks, "swept"),
                Err(error) => {
                    tracing::warn!(%error, source = ?std::error::Error::source(&error), "a sweep was broken off");
                }
            }
        }
        let coordination = &self.parts.coordination;
        if let Err(error) = coordination.release(LEASE, &self.options.holder).await {
            tracing::debug!(%error, "the lease of the sweeps is left to run out");
        }
    }

    /// Sweeps everything once, unless another process does; stops between batches at `shutdown`.
    pub async fn round(&self, shutdown: &CancellationToken) -> Result<Swept, Error> {
        // It ends before the next round of whoever waits for it.
        let lease = self.options.every * 2;
        let coordination = &self.parts.coordination;
        if !coordination.acquire(LEASE, &self.options.holder, lease).await? {
            return Ok(Swept::default());
        }
        let mut swept = Swept::default();
        while !shutdown.is_cancelled() && self.announce_stuck_checks(&mut swept).await? {}
        while !shutdown.is_cancelled() && self.remove_expired(&mut swept).await? {}
        while !shutdown.is_cancelled() && self.delete_unreferenced_blobs(&mut swept).await? {}
        Ok(swept)
    }

    fn before(&self, age: Duration) -> berth_domain::clock::Timestamp {
        let age = TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
        self.parts
            .clock
            .now()
            .checked_sub_signed(age)
            .unwrap_or(berth_domain::clock::Timestamp::MIN_UTC)
    }
}
