//! The check of an uploaded version: a worker proves it, and it becomes ready or failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_domain::clock::Clock;
use berth_domain::id::VersionId;
use berth_domain::model::VersionState;
use berth_domain::random::Random;
use berth_domain::work::{ModelCheck, Work as _};
use berth_queue::message::Unreadable;
use berth_queue::{Delivery, Handler, Outcome};
use berth_serving::proving::{self, Prover};
use berth_store::Store;
use berth_store::system::versions::Outcome as Verdict;
use futures_util::future::BoxFuture;

use crate::observed::observed;
use crate::reason;

/// The longest wait when nobody could prove it. At first it is short: a worker that has just been started is there in a
/// second.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How long a message of a later release waits for a process of that release.
const UPGRADE_WAIT: Duration = Duration::from_mins(1);

/// A worker that ends in the middle of a proof may have been stopped by somebody, or by the model. After so many times
/// it was the model.
const INTERRUPTIONS_LIMIT: u32 = 5;

/// Checks versions.
pub struct ModelChecks {
    store: Store,
    prover: Prover,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// How often a worker ended while it proved a version. (Not the attempts of the message: most of these may have found
    /// no worker at all.) A process that starts anew begins to count anew.
    interruptions: Mutex<HashMap<VersionId, u32>>,
}

impl ModelChecks {
    /// Checks by `prover`, written down in `store`.
    pub fn new(store: Store, prover: Prover, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            store,
            prover,
            clock,
            random,
            interruptions: Mutex::default(),
        }
    }

    async fn check(&self, delivery: &Delivery) -> Outcome {
        let check: ModelCheck = match delivery.message.work() {
            Ok(check) => check,
            Err(error @ Unreadable::TooNew { .. }) => {
                return Outcome::Retry {
                    after: UPGRADE_WAIT,
                    reason: error.to_string(),
                };
            }
            Err(error) => {
                return Outcome::Fail {
                    reason: error.to_string(),
                };
            }
        };
        match self.prove(check).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Retry {
                after: (Duration::from_millis(500) * delivery.attempt).min(LONGEST_WAIT),
                reason: reason::in_words(&error),
            },
        }
    }

    async fn prove(&self, check: ModelCheck) -> Result<(), Error> {
        let mut tx = self.store.system().await?;
        let version = tx.versions().show(check.version).await?;
        // A version that was deleted meanwhile, or that another delivery has concluded, needs nothing.
        let Some(version) = version.filter(|version| version.state == VersionState::Checking) else {
            return Ok(());
        };
        let files = tx.versions().files(version.id).await?;
        // Its check is in somebody's hands: the sweep of lost checks leaves it alone.
        tx.versions().announced(&[version.id], self.clock.now()).await?;
        tx.commit().await?;

        let verdict = match self
            .prover
            .prove(&*self.clock, &*self.random, &version, &files)
            .await
        {
            Ok(verdict) => verdict,
            Err(proving::Error::Interrupted(status)) if self.interrupted(version.id) => Verdict::Failed {
                reason: format!(
                    "the worker ended each time that it loaded the model ({})",
                    status.message()
                ),
                warnings: Vec::new(),
            },
            Err(error) => return Err(error.into()),
        };

        let mut tx = self.store.system().await?;
        let counted = tx
            .versions()
            .conclude(version.id, &verdict, self.clock.now())
            .await?;
        tx.commit().await?;
        self.interruptions().remove(&version.id);
        let state = match verdict {
            Verdict::Ready { .. } => VersionState::Ready,
            Verdict::Failed { .. } => VersionState::Failed,
        };
        tracing::info!(version.id = %version.id, state = state.as_str(), counted, "version was checked");
        Ok(())
    }
}

impl ModelChecks {
    /// Counts one more interruption; tells whether it was the last that is put up with.
    fn interrupted(&self, version: VersionId) -> bool {
        let mut interruptions = self.interruptions();
        let count = interruptions.entry(version).or_default();
        *count += 1;
        *count >= INTERRUPTIONS_LIMIT
    }

    fn interruptions(&self) -> MutexGuard<'_, HashMap<VersionId, u32>> {
        // A count is one number; a panic elsewhere does not spoil it.
        self.interruptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for ModelChecks {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(observed(ModelCheck::KIND, delivery, self.check(delivery)))
    }
}

/// Why a check has to be tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the version cannot be read or concluded")]
    Store(#[from] berth_store::Error),
    #[error("the version could not be proved")]
    Proving(#[from] proving::Error),
}
