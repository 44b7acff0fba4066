//! A message on its way to its handler, and what becomes of it.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::message::Message;

/// A message that is to be handled now.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How often it was handed to a handler that asked for another try, this time included: 1 at first.
    pub attempt: u32,
    /// It may have been handed out before without an outcome: a consumer died or lost its connection.
    pub redelivered: bool,
}

/// What becomes of a message after it was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its work is done and safe; it is forgotten.
    Done,
    /// It is handed out again, not before `after`.
    Retry {
        /// How long to wait at least; the queue rounds up to a step of its ladder.
        after: Duration,
        /// Why, in words.
        reason: String,
    },
    /// Its work can never be done; it goes to the dead letters.
    Fail {
        /// Why, in words.
        reason: String,
    },
}

/// Does the work of one kind of message. The same message may come twice, also at the same time: doing it twice must
/// equal doing it once. A handler that panics gets the message again, up to the queue's limit of deliveries.
pub trait Handler: Send + Sync + 'static {
    /// Does the work of `delivery`; the message is acknowledged only after this returns.
    fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome>;
}

/// A message that could not be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The kind of queue in which it lay.
    pub kind: String,
    /// Why it ended here.
    pub reason: String,
    /// How often it was handed out before.
    pub attempts: u32,
    /// Its bytes as they came: a message as JSON, unless that is what was wrong with it.
    pub body: Vec<u8>,
}
