//! The operations on which everything else here is built.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::event::{Subscription, Topic};

/// What an operation gives: a value, or why it could not be had.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Whether one more attempt is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// Whether this attempt is within the limit.
    pub allowed: bool,
    /// Attempts counted in the present window, this one included when it was allowed.
    pub used: u32,
    /// How long until the window ends; zero when the attempt was allowed.
    pub retry_after: Duration,
}

/// Entries with a time to live, leases, counters and events, shared by the processes of one installation.
///
/// Nothing here is the only copy of anything: all of it can be lost at any moment and is announced again by whoever
/// knows it. Every operation answers within the implementation's time limit, with [`Error`] when the other side cannot
/// be reached; none is repeated by itself, because all of them may simply be called again.
pub trait Coordination: Send + Sync + fmt::Debug + 'static {
    /// Stores `value` as entry `id` of `collection`, for `ttl` or until it is removed. Tells whether that changed
    /// anything: `false` when the same value stood there and only its time to live was renewed.
    fn put<'a>(
        &'a self,
        collection: &'a str,
        id: &'a str,
        value: String,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool>;

    /// Entry `id` of `collection`, unless it is absent or its time has passed.
    fn get<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, Option<String>>;

    /// The entries of `collection` whose time has not passed, as pairs of id and value, in order of id.
    fn list<'a>(&'a self, collection: &'a str) -> Answer<'a, Vec<(String, String)>>;

    /// Removes entry `id` of `collection`. Tells whether it was there.
    fn remove<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, bool>;

    /// Takes `lease` for `holder`, or renews it when `holder` has it, for `ttl` from now. `false` when another holds it.
    fn acquire<'a>(&'a self, lease: &'a str, holder: &'a str, ttl: Duration) -> Answer<'a, bool>;

    /// Gives `lease` back if `holder` has it; else nothing happens.
    fn release<'a>(&'a self, lease: &'a str, holder: &'a str) -> Answer<'a, ()>;

    /// Counts one attempt on `counter`, if fewer than `limit` were counted in the present window. A window begins with
    /// the first attempt and ends `window` later, whatever happens in it: refused attempts do not prolong it.
    fn hit<'a>(&'a self, counter: &'a str, limit: u32, window: Duration) -> Answer<'a, Throttle>;

    /// Forgets what was counted on `counter`.
    fn clear<'a>(&'a self, counter: &'a str) -> Answer<'a, ()>;

    /// Tells all present subscribers of `topic`. Nobody is told later: whoever was away sees [`crate::Event::Gap`].
    fn publish<'a>(&'a self, topic: Topic, payload: &'a str) -> Answer<'a, ()>;

    /// The events of `topics` from now on. The subscription heals by itself; if the other side cannot be reached
    /// within the time limit, it is returned all the same and its first event is a gap.
    fn subscribe<'a>(&'a self, topics: &'a [Topic]) -> Answer<'a, Subscription>;

    /// Asks the other side for a sign of life.
    fn check(&self) -> Answer<'_, ()>;
}
