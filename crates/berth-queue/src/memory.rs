//! The twin inside one process.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::FutureExt as _;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::consumer::Consumer;
use crate::delivery::{DeadLetter, Delivery, Handler, Outcome};
use crate::error::Error;
use crate::message::Message;
use crate::queue::{Answer, Queue};

/// How a [`Memory`] queue behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kinds of work for which there is a queue.
    pub kinds: Vec<String>,
    /// A message whose handler broke off without an outcome more often than this goes to the dead letters.
    pub delivery_limit: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kinds: berth_domain::work::KINDS.map(str::to_owned).to_vec(),
            delivery_limit: 10,
        }
    }
}

/// Queues in memory. Clones share everything. Delays use tokio's time, so a test may pause and advance it.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lanes: HashMap<String, Lane>,
    dead: Mutex<Vec<DeadLetter>>,
    delivery_limit: u32,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: Mutex<VecDeque<Item>>,
    arrived: Notify,
}

#[derive(Debug, Clone)]
struct Item {
    /// Kept as it would travel, so that nothing passes here that could not pass a broker.
    body: Vec<u8>,
    attempt: u32,
    broken_off: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section is one push or pop, so a panic elsewhere does not spoil what is inside.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    fn push(&self, item: Item) {
        lock(&self.waiting).push_back(item);
        self.arrived.notify_one();
    }

    async fn pop(&self) -> Item {
        loop {
            if let Some(item) = lock(&self.waiting).pop_front() {
                // The permit of a `notify_one` that nobody waited for is kept only once: pass it on.
                self.arrived.notify_one();
                return item;
            }
            self.arrived.notified().await;
        }
    }
}

impl Memory {
    /// Empty queues.
    pub fn new(options: Options) -> Self {
        Self {
            shared: Arc::new(Shared {
                lanes: options
                    .kinds
                    .into_iter()
                    .map(|kind| (kind, Lane::default()))
                    .collect(),
                dead: Mutex::default(),
                delivery_limit: options.delivery_limit,
            }),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Shared {
    fn lane(&self, kind: &str) -> Result<&Lane, Error> {
        self.lanes.get(kind).ok_or_else(|| Error::UnknownKind {
            kind: kind.to_owned(),
        })
    }

    fn bury(&self, kind: &str, item: Item, reason: String) {
        lock(&self.dead).push(DeadLetter {
            kind: kind.to_owned(),
            reason,
            attempts: item.attempt,
            body: item.body,
        });
    }

    async fn handle(self: Arc<Self>, kind: String, mut item: Item, handler: Arc<dyn Handler>) {
        let message = match serde_json::from_slice::<Message>(&item.body) {
            Ok(message) => message,
            Err(error) => return self.bury(&kind, item, format!("the message is malformed: {error}")),
        };
        let delivery = Delivery {
            message,
            attempt: item.attempt,
            redelivered: item.broken_off > 0,
        };
        let Some(lane) = self.lanes.get(&kind) else {
            return;
        };
        match AssertUnwindSafe(handler.handle(&delivery)).catch_unwind().await {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Fail { reason }) => self.bury(&kind, item, reason),
            Ok(Outcome::Retry { after, .. }) => {
                item.attempt += 1;
                item.broken_off = 0;
                let shared = Arc::clone(&self);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    if let Some(lane) = shared.lanes.get(&kind) {
                        lane.push(item);
                    }
                });
            }
            Err(_) => {
                item.broken_off += 1;
                if item.broken_off > self.delivery_limit {
                    self.bury(&kind, item, DELIVERY_LIMIT.to_owned());
                } else {
                    lane.push(item);
                }
            }
        }
    }
}

/// The reason of dead letters whose handlers broke off too often, as RabbitMQ calls it.
pub(crate) const DELIVERY_LIMIT: &str = "delivery_limit";

impl Queue for Memory {
    fn publish<'a>(&'a self, message: &'a Message) -> Answer<'a, ()> {
        let publish = || {
            let lane = self.shared.lane(&message.kind)?;
            let body = serde_json::to_vec(message).map_err(|source| Error::Unwritable {
                kind: message.kind.clone(),
                source,
            })?;
            lane.push(Item {
                body,
                attempt: 1,
                broken_off: 0,
            });
            Ok(())
        };
        std::future::ready(publish()).boxed()
    }

    fn consume(&self, kind: &str, prefetch: u16, handler: Arc<dyn Handler>) -> Result<Consumer, Error> {
        self.shared.lane(kind)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(consume(
            Arc::clone(&self.shared),
            kind.to_owned(),
            prefetch,
            handler,
            stop.clone(),
        ));
        Ok(Consumer::new(stop, task))
    }

    fn depth<'a>(&'a self, kind: &'a str) -> Answer<'a, u64> {
        let depth = self
            .shared
            .lane(kind)
            .map(|lane| u64::try_from(lock(&lane.waiting).len()).unwrap_or(u64::MAX));
        std::future::ready(depth).boxed()
    }

    fn dead_letters(&self, limit: usize) -> Answer<'_, Vec<DeadLetter>> {
        let letters = lock(&self.shared.dead).iter().take(limit).cloned().collect();
        std::future::ready(Ok(letters)).boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        std::future::ready(Ok(())).boxed()
    }
}

async fn consume(
    shared: Arc<Shared>,
    kind: String,
    prefetch: u16,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) {
    let running = TaskTracker::new();
    let places = Arc::new(Semaphore::new(usize::from(prefetch.max(1))));
    let next = async {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Ok(lane) = shared.lane(&kind) else { return };
            let item = lane.pop().await;
            let work = Arc::clone(&shared).handle(kind.clone(), item, Arc::clone(&handler));
            running.spawn(async move {
                work.await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(next).await;
    running.close();
    running.wait().await;
}
