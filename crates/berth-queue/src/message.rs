//! The envelope in which work travels.

use berth_domain::clock::Timestamp;
use berth_domain::id::{MessageId, OrganizationId};
use berth_domain::work::Work;
use serde::{Deserialize, Serialize};

/// A message: which work, for whom, and where it came from. In JSON on the wire; readers ignore fields that they do not
/// know, so that neighbors one version apart understand each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Version of the payload's form, see [`Work::VERSION`].
    pub version: u16,
    /// The message; the same when it is delivered again, also after it was published twice.
    pub id: MessageId,
    /// The kind of work, which names the queue too.
    pub kind: String,
    /// The organization for which it is done, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    /// What is to be done, in the form of the kind.
    pub payload: serde_json::Value,
    /// W3C trace context of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// When the change that asks for it was made.
    pub created_at: Timestamp,
}

/// Why a message could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is of another kind.
    #[error("a message of the kind `{kind}` came where `{expected}` was expected")]
    OtherKind {
        /// Its kind.
        kind: String,
        /// The kind expected.
        expected: &'static str,
    },
    /// A later version of Berth wrote it; a later consumer can read it.
    #[error("a message of the kind `{kind}` has form {version}; this version of Berth knows up to {known}")]
    TooNew {
        /// Its kind.
        kind: &'static str,
        /// Its form.
        version: u16,
        /// The newest form known here.
        known: u16,
    },
    /// Its payload has not the form that its version says.
    #[error("the payload of a message of the kind `{kind}` is malformed")]
    Malformed {
        /// Its kind.
        kind: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Message {
    /// The message that asks for `work`.
    pub fn new<W: Work>(
        id: MessageId,
        organization: Option<OrganizationId>,
        work: &W,
        created_at: Timestamp,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            version: W::VERSION,
            id,
            kind: W::KIND.to_owned(),
            organization,
            payload: serde_json::to_value(work)?,
            traceparent: None,
            created_at,
        })
    }

    /// The work that the message asks for.
    pub fn work<W: Work>(&self) -> Result<W, Unreadable> {
        if self.kind != W::KIND {
            return Err(Unreadable::OtherKind {
                kind: self.kind.clone(),
                expected: W::KIND,
            });
        }
        if self.version > W::VERSION {
            return Err(Unreadable::TooNew {
                kind: W::KIND,
                version: self.version,
                known: W::VERSION,
            });
        }
        W::deserialize(&self.payload).map_err(|source| Unreadable::Malformed {
            kind: W::KIND,
            source,
        })
    }
}
