//! Why a mail server did not take a letter, without its words: replies repeat the recipient's address, and what is written
//! here stands in logs and in the headers of queued messages.

use lettre::transport::smtp;

/// Answers of a mail server about how one signs in (RFC 4954). Permanent for the session, but somebody can mend it.
const SIGN_IN_CODES: [u16; 4] = [530, 534, 535, 538];

/// Why a mail server did not take a letter.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It said so.
    #[error("it answered {code}")]
    Answered {
        /// The code of its reply.
        code: u16,
        /// Whether the code says that it will not change its mind.
        permanent: bool,
    },
    /// Its reply is none.
    #[error("its answer cannot be understood")]
    Garbled,
    /// It was not reached, or the connection broke off.
    #[error("it cannot be spoken to")]
    Connection(#[source] smtp::Error),
}

impl Refusal {
    /// Whether it may take the same letter later: time passes, or somebody mends the configuration.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Answered { code, permanent } => !permanent || SIGN_IN_CODES.contains(code),
            Self::Garbled | Self::Connection(_) => true,
        }
    }
}

impl From<smtp::Error> for Refusal {
    fn from(error: smtp::Error) -> Self {
        match error.status() {
            Some(status) => Self::Answered {
                code: status.into(),
                permanent: error.is_permanent(),
            },
            // The cause may quote what could not be read.
            None if error.is_response() => Self::Garbled,
            None => Self::Connection(error),
        }
    }
}
