//! Why the queue could not do what it was asked.

use std::time::Duration;

/// A cause from the library or system below.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why the queue could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker could not be reached, or broke off.
    #[error("could not {attempted}: the broker cannot be reached")]
    Unavailable {
        /// What was attempted.
        attempted: &'static str,
        /// Why it failed.
        #[source]
        source: Cause,
    },
    /// The broker did not answer in time; a broker that is short of memory or disk stops taking messages that way.
    #[error("could not {attempted}: the broker did not answer within {} ms", limit.as_millis())]
    Timeout {
        /// What was attempted.
        attempted: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The broker would not store the message now: a queue is full or without a majority of its nodes.
    #[error("could not {attempted}: the broker did not accept the message")]
    NotAccepted {
        /// What was attempted.
        attempted: &'static str,
    },
    /// The broker had no queue for the message: somebody deleted it. It is declared anew at the next attempt.
    #[error("the broker returned a message of the kind `{kind}`, because its queue is gone")]
    Unroutable {
        /// The kind.
        kind: String,
    },
    /// The broker answered and refused: a wrong password, queues of another shape. Trying again will not help before
    /// somebody changes something; then it will, for every message.
    #[error("could not {attempted}: the broker refused")]
    Refused {
        /// What was attempted.
        attempted: &'static str,
        /// Why it refused.
        #[source]
        source: Cause,
    },
    /// There is no queue for messages of this kind.
    #[error("there is no queue for messages of the kind `{kind}`")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// A message could not be written as JSON.
    #[error("could not write a message of the kind `{kind}` as JSON")]
    Unwritable {
        /// The kind.
        kind: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the message itself is at fault: no broker in any state will ever take it.
    pub fn is_about_the_message(&self) -> bool {
        matches!(self, Self::UnknownKind { .. } | Self::Unwritable { .. })
    }

    /// Whether trying again later may help without anybody doing something.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Timeout { .. }
                | Self::NotAccepted { .. }
                | Self::Unroutable { .. }
        )
    }
}
