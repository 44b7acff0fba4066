//! The relay: publishes what changes have written into the outbox. A message is removed in the transaction that claimed
//! it, after the queue has confirmed it; so nothing is lost when the relay dies in between, and a message may come twice.
//!
//! Only a message that is itself at fault is set aside. When the broker is away, or refuses everybody (a wrong password, queues
//! of another shape), messages wait: whoever mends that need not look for them.

use std::sync::Arc;
use std::time::Duration;

use berth_domain::clock::Clock;
use berth_domain::id::MessageId;
use berth_queue::{Message, Queue};
use berth_store::Store;
use berth_store::system::outbox::{OutboxMessage, Waiting};
use berth_telemetry::metrics::names;
use chrono::TimeDelta;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::reason;

/// How long to wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How long to wait, at most, while the broker refuses: each wait is twice the one before.
const AFTER_REFUSALS: Duration = Duration::from_secs(30);
/// What is withheld here is complained of when no other relay has taken it for so long.
const WITHHELD_FOR: TimeDelta = TimeDelta::seconds(10);
/// How often it is looked for what is withheld.
const LOOK_AT_WITHHELD: Duration = Duration::from_secs(10);
/// A batch that takes longer is cut short: what it has claimed stays locked meanwhile.
const BATCH_LIMIT: Duration = Duration::from_secs(20);

/// How the relay runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often it looks whether something waits.
    pub every: Duration,
    /// Messages in one transaction, at most.
    pub batch: u32,
    /// Kinds of work that nobody does as this process is set up. They stay in the outbox, where they are seen and counted, and
    /// are relayed by a process that is set up for them, or by this one when it is.
    pub withheld: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(100),
            batch: 100,
            withheld: Vec::new(),
        }
    }
}

/// Why a batch was left waiting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outbox cannot be read or changed.
    #[error("the outbox cannot be reached")]
    Store(#[from] berth_store::Error),
    /// The queue does not confirm; what it did confirm is removed.
    #[error("the queue takes nothing")]
    Queue(#[source] berth_queue::Error),
}

/// What keeps messages in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The store does not answer.
    Store,
    /// The broker is away, or takes nothing now.
    Away,
    /// The broker refuses whatever is sent: somebody has to change something.
    Refused,
}

impl Trouble {
    fn of(error: &Error) -> Self {
        match error {
            Error::Store(_) => Self::Store,
            Error::Queue(error) if error.is_transient() => Self::Away,
            Error::Queue(_) => Self::Refused,
        }
    }

    fn complain(self, error: &Error) {
        let reason = reason::in_words(error);
        match self {
            Self::Store | Self::Away => tracing::warn!(reason, "queued work waits in the outbox"),
            Self::Refused => tracing::error!(
                reason,
                "queued work waits in the outbox until the broker's refusal is mended"
            ),
        }
    }
}

/// The relay. Several may run: each message is claimed by one.
pub struct Relay {
    store: Store,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    options: Options,
}

impl Relay {
    /// A relay from `store` to `queue`.
    pub fn new(store: Store, queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, options: Options) -> Self {
        Self {
            store,
            queue,
            clock,
            options,
        }
    }

    /// Runs until `shutdown`; a batch that is on its way is finished.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tick = interval(self.options.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(LOOK_AT_WITHHELD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = 0;
        let mut trouble = None;
        let mut wait = AFTER_FAILURE;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = look.tick(), if !self.options.withheld.is_empty() => {
                    complained = self.complain_of_withheld(complained).await;
                    continue;
                }
                _ = tick.tick() => {}
            }
            while !shutdown.is_cancelled() {
                match self.batch().await {
                    Ok(relayed) => {
                        // That nothing waits for this relay says nothing of the queue.
                        if relayed > 0 || trouble == Some(Trouble::Store) {
                            if trouble.take().is_some() {
                                tracing::info!("queued work leaves the outbox again");
                            }
                            wait = AFTER_FAILURE;
                        }
                        if relayed < self.options.batch as usize {
                            break;
                        }
                    }
                    Err(error) => {
                        let now = Trouble::of(&error);
                        // Once per change, not once per attempt.
                        if trouble.replace(now) != Some(now) {
                            now.complain(&error);
                            wait = AFTER_FAILURE;
                        }
                        shutdown.run_until_cancelled(sleep(wait)).await;
                        if now == Trouble::Refused {
                            wait = (wait * 2).min(AFTER_REFUSALS);
                        }
                        break;
                    }
                }
            }
        }
    }

    /// Tells of work that nobody does, when there is more of it than was `complained` of; answers with how much there is.
    async fn complain_of_withheld(&self, complained: u64) -> u64 {
        match self.left_behind().await {
            Ok(Waiting { messages, oldest }) => {
                if messages > complained {
                    tracing::warn!(
                        kinds = self.options.withheld.join(","),
                        messages,
                        oldest = oldest.map(tracing::field::display),
                        "accepted work waits in the outbox, and no process is set up to do it; letters need `mail.host` here"
                    );
                }
                messages
            }
            Err(error) => {
                tracing::warn!(
                    reason = reason::in_words(&error),
                    "it cannot be told whether work is left behind"
                );
                complained
            }
        }
    }

    /// Work of the kinds that are withheld here, when it has waited for so long that no other relay takes it either.
    pub async fn left_behind(&self) -> Result<Waiting, Error> {
        let mut tx = self.store.system().await?;
        let waiting = tx.outbox().waiting(&self.options.withheld).await?;
        let long_ago = self.clock.now() - WITHHELD_FOR;
        if waiting.oldest.is_some_and(|oldest| oldest <= long_ago) {
            return Ok(waiting);
        }
        Ok(Waiting {
            messages: 0,
            oldest: None,
        })
    }

    /// Relays what waits, up to one batch; tells how many messages left the outbox.
    pub async fn batch(&self) -> Result<usize, Error> {
        let mut tx = self.store.system().await?;
        let claimed = tx
            .outbox()
            .claim(self.options.batch, &self.options.withheld)
            .await?;
        if claimed.is_empty() && self.options.withheld.is_empty() {
            metrics::gauge!(names::OUTBOX_MESSAGES).set(0);
            metrics::gauge!(names::OUTBOX_OLDEST_SECONDS).set(0);
            return Ok(0);
        }
        let mut done: Vec<MessageId> = Vec::with_capacity(claimed.len());
        let mut failure = None;
        let begun = Instant::now();
        for message in claimed {
            if begun.elapsed() > BATCH_LIMIT {
                break;
            }
            let id = message.id;
            match self.queue.publish(&envelope(message)).await {
                Ok(()) => done.push(id),
                Err(error) if error.is_about_the_message() => {
                    tracing::error!(%error, message.id = %id, "queued work can never be published and is set aside");
                    tx.outbox().park(id, &reason::in_words(&error)).await?;
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        tx.outbox().remove(&done).await?;
        let backlog = tx.outbox().backlog().await?;
        tx.commit().await?;
        metrics::gauge!(names::OUTBOX_MESSAGES).set(u32::try_from(backlog.waiting).unwrap_or(u32::MAX));
        let age = backlog
            .oldest
            .map_or(0, |oldest| (self.clock.now() - oldest).num_seconds().max(0));
        metrics::gauge!(names::OUTBOX_OLDEST_SECONDS).set(u32::try_from(age).unwrap_or(u32::MAX));
        match failure {
            Some(error) => Err(Error::Queue(error)),
            None => Ok(done.len()),
        }
    }
}

fn envelope(message: OutboxMessage) -> Message {
    let OutboxMessage {
        id,
        kind,
        version,
        organization,
        payload,
        traceparent,
        created_at,
    } = message;
    Message {
        version,
        id,
        kind,
        organization,
        payload,
        traceparent,
        created_at,
    }
}
