//! Why coordination could not do what it was asked.

use std::time::Duration;

/// A cause from the library or system below.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why coordination could not do what it was asked. The text says what was attempted, never the values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side could not be reached, or broke off. Whether the change was made is unknown; it may be tried again.
    #[error("could not {attempted}: coordination cannot be reached")]
    Unavailable {
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        #[source]
        source: Cause,
    },
    /// The other side did not answer in time. Whether the change was made is unknown; it may be tried again.
    #[error("could not {attempted}: coordination did not answer within {} ms", limit.as_millis())]
    Timeout {
        /// What was attempted.
        attempted: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The other side answered and refused. Trying again will not help.
    #[error("could not {attempted}: coordination refused")]
    Refused {
        /// What was attempted.
        attempted: String,
        /// Why it refused.
        #[source]
        source: Cause,
    },
    /// A record does not have the expected form: another version of Berth wrote it, or something else did.
    #[error("entry `{id}` of `{collection}` has a form that this version does not know")]
    Malformed {
        /// The collection.
        collection: String,
        /// The entry.
        id: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A record could not be written as JSON.
    #[error("could not write a record for `{collection}` as JSON")]
    Unwritable {
        /// The collection.
        collection: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }
}
