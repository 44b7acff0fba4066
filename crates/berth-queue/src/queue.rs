//! What a queue can do.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::consumer::Consumer;
use crate::delivery::{DeadLetter, Handler};
use crate::error::Error;
use crate::message::Message;

/// What an operation gives: a value, or why it could not be had.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// Queues of messages, one per kind of work.
pub trait Queue: Send + Sync + fmt::Debug + 'static {
    /// Hands `message` over. When this returns, the queue has stored it and will have it handled at least once. On an
    /// error that [is transient](Error::is_transient) it may have been stored or not: publish it again.
    fn publish<'a>(&'a self, message: &'a Message) -> Answer<'a, ()>;

    /// Has messages of `kind` handled, at most `prefetch` at a time, until the consumer is stopped or dropped. Messages
    /// are taken up by any consumer of the kind, in any process. It starts whether or not the other side can be
    /// reached, and heals by itself. Fails when there is no queue for `kind`.
    fn consume(&self, kind: &str, prefetch: u16, handler: Arc<dyn Handler>) -> Result<Consumer, Error>;

    /// How many messages of `kind` wait to be handled, without those that are being handled or delayed.
    fn depth<'a>(&'a self, kind: &'a str) -> Answer<'a, u64>;

    /// Up to `limit` dead letters, the oldest first; they stay where they are.
    fn dead_letters(&self, limit: usize) -> Answer<'_, Vec<DeadLetter>>;

    /// Asks the other side for a sign of life.
    fn check(&self) -> Answer<'_, ()>;
}
