//! The check of an uploaded version: a worker proves it, and it becomes ready or failed.

use std::sync::Arc;
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
use berth_store::system::versions::{FruitlessProof, NoVerdict, Outcome as Verdict};
use futures_util::future::BoxFuture;

use crate::observed::observed;
use crate::reason;

/// The longest wait when nobody could prove it. At first it is short: a worker that has just been started is there in a
/// second.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How long a message of a later release waits for a process of that release.
const UPGRADE_WAIT: Duration = Duration::from_mins(1);

/// A worker that ends in the middle of a proof, or gives no answer, may have been stopped by somebody, or by the model. After
/// so many times it was the model.
const TRIES_LIMIT: usize = 5;

/// Files that no worker can have are the installation's trouble: somebody has more than ten minutes to mend it before the
/// version is said to have failed.
const FETCHES_LIMIT: usize = 60;

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
        let tried = tx.versions().fruitless_proofs(version.id).await?;
        // Its check is in somebody's hands: the sweep of lost checks leaves it alone.
        tx.versions().announced(&[version.id], self.clock.now()).await?;
        tx.commit().await?;

        let verdict = match self
            .prover
            .prove(&*self.clock, &*self.random, &version, &files, &tried)
            .await
        {
            Ok(verdict) => verdict,
            Err(error) => match self.despair(version.id, &error).await? {
                Some(reason) => Verdict::Failed {
                    reason,
                    warnings: Vec::new(),
                },
                None => return Err(error.into()),
            },
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

impl ModelChecks {
    /// Counts a try without a verdict, with the version, so that it counts whoever tries next. Tells why the version has failed if
    /// it was the last that is put up with. (Not the attempts of the message: most of these may have found no worker at all.)
    async fn despair(&self, version: VersionId, error: &proving::Error) -> Result<Option<String>, Error> {
        let proving::Error::NoVerdict { worker, end, status } = error else {
            return Ok(None);
        };
        let (worker, end) = (*worker, *end);
        let mut tx = self.store.system().await?;
        let noted = tx
            .versions()
            .note_fruitless_proof(version, FruitlessProof { worker, end })
            .await?;
        tx.commit().await?;
        let alike = noted.iter().flatten().filter(|tried| tried.end == end).count();
        let limit = match end {
            NoVerdict::Unfetched => FETCHES_LIMIT,
            _ => TRIES_LIMIT,
        };
        Ok((alike >= limit).then(|| self.in_words(end, status.message(), alike)))
    }

    /// Why a version has failed after so many tries that ended in the same way.
    fn in_words(&self, end: NoVerdict, said: &str, tries: usize) -> String {
        let seconds = self.prover.timeout().as_secs();
        match end {
            NoVerdict::Unfetched => format!("{said} It was tried {tries} times."),
            NoVerdict::Interrupted => format!(
                "Each of {tries} tries to run the model broke off: the worker ended, or the connection to it was lost."
            ),
            NoVerdict::Late => {
                format!("The model was not loaded and run within {seconds} s, in each of {tries} tries.")
            }
            NoVerdict::Silent => {
                format!("No worker said within {seconds} s whether the model runs, in each of {tries} tries.")
            }
            NoVerdict::Refused | NoVerdict::Unknown => {
                format!("Each of {tries} tries to run the model ended with an error of the worker: {said}")
            }
        }
        .replace('\0', "\u{fffd}")
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
