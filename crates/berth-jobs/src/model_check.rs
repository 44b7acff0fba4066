//! The check of an uploaded version: a worker proves it, and it becomes ready or failed.

use std::sync::Arc;
use std::time::Duration;

use berth_domain::clock::Clock;
use berth_domain::model::VersionState;
use berth_domain::random::Random;
use berth_domain::work::ModelCheck;
use berth_queue::{Delivery, Handler, Outcome};
use berth_serving::proving::{self, Prover};
use berth_store::Store;
use berth_store::system::versions::Outcome as Verdict;
use futures_util::future::BoxFuture;

/// How long to wait when nobody could prove it.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A worker that ends in the middle of a proof may have been stopped by somebody, or by the model. After so many
/// attempts it was the model.
const ATTEMPTS_LIMIT: u32 = 20;

/// Checks versions.
pub struct ModelChecks {
    store: Store,
    prover: Prover,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl ModelChecks {
    /// Checks by `prover`, written down in `store`.
    pub fn new(store: Store, prover: Prover, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            store,
            prover,
            clock,
            random,
        }
    }

    async fn check(&self, delivery: &Delivery) -> Outcome {
        let check: ModelCheck = match delivery.message.work() {
            Ok(check) => check,
            Err(error) => {
                return Outcome::Fail {
                    reason: error.to_string(),
                };
            }
        };
        match self.prove(check, delivery.attempt).await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                tracing::warn!(%error, source = ?std::error::Error::source(&error), version.id = %check.version, "check is tried again");
                Outcome::Retry {
                    after: AGAIN_AFTER,
                    reason: error.to_string(),
                }
            }
        }
    }

    async fn prove(&self, check: ModelCheck, attempt: u32) -> Result<(), Error> {
        let mut tx = self.store.system().await?;
        let version = tx.versions().show(check.version).await?;
        // A version that was deleted meanwhile, or that another delivery has concluded, needs nothing.
        let Some(version) = version.filter(|version| version.state == VersionState::Checking) else {
            return Ok(());
        };
        let files = tx.versions().files(version.id).await?;
        drop(tx);

        let verdict = match self
            .prover
            .prove(&*self.clock, &*self.random, &version, &files)
            .await
        {
            Ok(verdict) => verdict,
            Err(proving::Error::Interrupted(status)) if attempt >= ATTEMPTS_LIMIT => Verdict::Failed {
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
        let state = match verdict {
            Verdict::Ready { .. } => VersionState::Ready,
            Verdict::Failed { .. } => VersionState::Failed,
        };
        tracing::info!(version.id = %version.id, state = state.as_str(), counted, "version was checked");
        Ok(())
    }
}

impl Handler for ModelChecks {
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(self.check(delivery))
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
