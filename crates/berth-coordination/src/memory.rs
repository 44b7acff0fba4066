//! The twin inside one process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::FutureExt as _;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::coordination::{Answer, Coordination, Throttle};
use crate::event::{EVENT_BUFFER, Event, Subscription, Topic};

/// Counters are swept of ended windows when there are more than this many, so that attempts from ever new addresses do
/// not pile up.
const COUNTERS_BEFORE_SWEEP: usize = 10_000;

/// Coordination in memory. Clones share everything. Times are tokio's, so a test may pause and advance them.
#[derive(Debug, Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct State {
    collections: HashMap<String, BTreeMap<String, Entry>>,
    leases: HashMap<String, Lease>,
    counters: HashMap<String, Window>,
}

#[derive(Debug)]
struct Entry {
    value: String,
    expires: Option<Instant>,
}

#[derive(Debug)]
struct Lease {
    holder: String,
    expires: Instant,
}

#[derive(Debug)]
struct Window {
    used: u32,
    ends: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Empty coordination.
    pub fn new() -> Self {
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        Self {
            state: Arc::default(),
            events,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No operation can leave the maps half changed, so a panic elsewhere does not spoil them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    std::future::ready(Ok(value)).boxed()
}

impl Coordination for Memory {
    fn put<'a>(
        &'a self,
        collection: &'a str,
        id: &'a str,
        value: String,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        let now = Instant::now();
        let entry = Entry {
            value,
            expires: ttl.map(|ttl| now + ttl),
        };
        let mut state = self.state();
        let entries = state.collections.entry(collection.to_owned()).or_default();
        let changed = entries
            .get(id)
            .is_none_or(|old| !old.is_live(now) || old.value != entry.value);
        entries.insert(id.to_owned(), entry);
        ready(changed)
    }

    fn get<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, Option<String>> {
        let now = Instant::now();
        let state = self.state();
        let entry = state
            .collections
            .get(collection)
            .and_then(|entries| entries.get(id));
        ready(
            entry
                .filter(|entry| entry.is_live(now))
                .map(|entry| entry.value.clone()),
        )
    }

    fn list<'a>(&'a self, collection: &'a str) -> Answer<'a, Vec<(String, String)>> {
        let now = Instant::now();
        let mut state = self.state();
        let Some(entries) = state.collections.get_mut(collection) else {
            return ready(Vec::new());
        };
        entries.retain(|_, entry| entry.is_live(now));
        ready(
            entries
                .iter()
                .map(|(id, entry)| (id.clone(), entry.value.clone()))
                .collect(),
        )
    }

    fn remove<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, bool> {
        let now = Instant::now();
        let removed = self
            .state()
            .collections
            .get_mut(collection)
            .and_then(|entries| entries.remove(id));
        ready(removed.is_some_and(|entry| entry.is_live(now)))
    }

    fn acquire<'a>(&'a self, lease: &'a str, holder: &'a str, ttl: Duration) -> Answer<'a, bool> {
        let now = Instant::now();
        let mut state = self.state();
        let taken = state
            .leases
            .get(lease)
            .is_some_and(|lease| lease.holder != holder && now < lease.expires);
        if !taken {
            state.leases.insert(
                lease.to_owned(),
                Lease {
                    holder: holder.to_owned(),
                    expires: now + ttl,
                },
            );
        }
        ready(!taken)
    }

    fn release<'a>(&'a self, lease: &'a str, holder: &'a str) -> Answer<'a, ()> {
        let mut state = self.state();
        if state
            .leases
            .get(lease)
            .is_some_and(|lease| lease.holder == holder)
        {
            state.leases.remove(lease);
        }
        ready(())
    }

    fn hit<'a>(&'a self, counter: &'a str, limit: u32, window: Duration) -> Answer<'a, Throttle> {
        let now = Instant::now();
        let mut state = self.state();
        if state.counters.len() > COUNTERS_BEFORE_SWEEP {
            state.counters.retain(|_, window| now < window.ends);
        }
        let current = state
            .counters
            .entry(counter.to_owned())
            .and_modify(|current| {
                if now >= current.ends {
                    *current = Window {
                        used: 0,
                        ends: now + window,
                    };
                }
            })
            .or_insert_with(|| Window {
                used: 0,
                ends: now + window,
            });
        let allowed = current.used < limit;
        current.used += u32::from(allowed);
        ready(Throttle {
            allowed,
            used: current.used,
            retry_after: if allowed {
                Duration::ZERO
            } else {
                current.ends - now
            },
        })
    }

    fn clear<'a>(&'a self, counter: &'a str) -> Answer<'a, ()> {
        self.state().counters.remove(counter);
        ready(())
    }

    fn publish<'a>(&'a self, topic: Topic, payload: &'a str) -> Answer<'a, ()> {
        // Sending fails only when nobody is subscribed, and then there is nobody to tell.
        let _ = self.events.send(Event::Message {
            topic,
            payload: payload.to_owned(),
        });
        ready(())
    }

    fn subscribe<'a>(&'a self, topics: &'a [Topic]) -> Answer<'a, Subscription> {
        ready(Subscription::new(self.events.subscribe(), topics))
    }

    fn check(&self) -> Answer<'_, ()> {
        ready(())
    }
}
