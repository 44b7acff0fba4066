//! The server's secrets ("peppers") under which API keys and link tokens are hashed, and from which the keys of
//! [sealing](crate::sealing) are derived: without one, what the database holds can neither be tested against guesses nor
//! read.

use std::fmt;

use berth_domain::secret::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The fewest bytes that a pepper may have.
pub const MIN_LENGTH_BYTES: usize = 32;

/// A set of peppers that cannot be used. The operator who configures them can act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The secret is too short to resist guessing.
    #[error("the pepper `{id}` has fewer than {MIN_LENGTH_BYTES} bytes")]
    TooShort {
        /// The pepper's id.
        id: String,
    },
    /// The id would not fit the database or is confusing.
    #[error("the pepper id `{id}` is not 1 to 32 letters, digits or `-`")]
    Id {
        /// What was given.
        id: String,
    },
    /// Two peppers carry the same id.
    #[error("there are two peppers with the id `{id}`")]
    Duplicate {
        /// The id.
        id: String,
    },
}

/// One pepper as it is configured.
#[derive(Debug, Clone)]
pub struct Pepper {
    /// Its name, which is stored beside every hash that was made with it. Never give an id to another secret.
    pub id: String,
    /// At least [`MIN_LENGTH_BYTES`] of random text.
    pub secret: Secret,
}

/// What a hash is for. Equal inputs of different purposes have different hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    ApiKey,
    Invitation,
    PasswordReset,
    /// The key that encrypts what is stored and has to be shown again.
    Sealing,
}

impl Purpose {
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::ApiKey => b"berth api key v1\0",
            Self::Invitation => b"berth invitation v1\0",
            Self::PasswordReset => b"berth password reset v1\0",
            Self::Sealing => b"berth sealing v1\0",
        }
    }
}

/// The peppers in use: new hashes are made with the current one, old ones are still checked with theirs.
///
/// To rotate, add a new pepper as the current one and keep the old one until no key refers to it.
#[derive(Clone)]
pub struct Peppers {
    /// The current one first.
    peppers: Vec<(String, Hmac<Sha256>)>,
}

impl Peppers {
    /// These peppers, `current` for new hashes. Fails when one is too short or an id is malformed or used twice.
    pub fn new(current: Pepper, previous: Vec<Pepper>) -> Result<Self, Error> {
        let mut peppers: Vec<(String, Hmac<Sha256>)> = Vec::with_capacity(1 + previous.len());
        for pepper in std::iter::once(current).chain(previous) {
            let id = pepper.id;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if !(1..=32).contains(&id.len()) || !id.bytes().all(plain) {
                return Err(Error::Id { id });
            }
            if peppers.iter().any(|(known, _)| *known == id) {
                return Err(Error::Duplicate { id });
            }
            let secret = pepper.secret.expose().as_bytes();
            if secret.len() < MIN_LENGTH_BYTES {
                return Err(Error::TooShort { id });
            }
            let Ok(state) = Hmac::new_from_slice(secret) else {
                // HMAC takes keys of every length; kept as an error so that nothing here can panic.
                return Err(Error::TooShort { id });
            };
            peppers.push((id, state));
        }
        Ok(Self { peppers })
    }

    /// The id of the pepper that makes new hashes.
    pub fn current_id(&self) -> &str {
        &self.peppers[0].0
    }

    /// The hash of `text` under the current pepper.
    pub(crate) fn hash(&self, purpose: Purpose, text: &[u8]) -> [u8; 32] {
        mac(&self.peppers[0].1, purpose, text)
    }

    /// The hash of `text` under the pepper `id`; `None` when there is no such pepper.
    pub(crate) fn hash_under(&self, id: &str, purpose: Purpose, text: &[u8]) -> Option<[u8; 32]> {
        let (_, state) = self.peppers.iter().find(|(known, _)| known == id)?;
        Some(mac(state, purpose, text))
    }

    /// The hashes of `text` under every pepper, the current one first.
    pub(crate) fn hashes(&self, purpose: Purpose, text: &[u8]) -> impl Iterator<Item = [u8; 32]> {
        self.peppers
            .iter()
            .map(move |(_, state)| mac(state, purpose, text))
    }

    /// Whether `expected` is the hash of `text` under the pepper `id`; `None` when there is no such pepper. Takes the
    /// same time for every text of the same length.
    pub(crate) fn verify(
        &self,
        id: &str,
        purpose: Purpose,
        text: &[u8],
        expected: &[u8; 32],
    ) -> Option<bool> {
        let hash = self.hash_under(id, purpose, text)?;
        Some(hash.ct_eq(expected).into())
    }
}

impl fmt::Debug for Peppers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list()
            .entries(self.peppers.iter().map(|(id, _)| id))
            .finish()
    }
}

fn mac(state: &Hmac<Sha256>, purpose: Purpose, text: &[u8]) -> [u8; 32] {
    let mut state = state.clone();
    state.update(purpose.prefix());
    state.update(text);
    state.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(id: &str, fill: &str) -> Pepper {
        Pepper {
            id: id.to_owned(),
            secret: Secret::new(fill.repeat(MIN_LENGTH_BYTES)),
        }
    }

    #[test]
    fn hash_is_checked_with_the_pepper_that_made_it() {
        let old = Peppers::new(pepper("one", "a"), vec![]).expect("valid");
        let hash = old.hash(Purpose::ApiKey, b"text");
        let rotated = Peppers::new(pepper("two", "b"), vec![pepper("one", "a")]).expect("valid");
        assert_eq!(rotated.current_id(), "two");
        assert_eq!(rotated.verify("one", Purpose::ApiKey, b"text", &hash), Some(true));
        assert_eq!(
            rotated.verify("two", Purpose::ApiKey, b"text", &hash),
            Some(false)
        );
        assert_eq!(rotated.verify("gone", Purpose::ApiKey, b"text", &hash), None);
        assert_ne!(rotated.hash(Purpose::ApiKey, b"text"), hash);
        assert!(rotated.hashes(Purpose::ApiKey, b"text").any(|each| each == hash));
    }

    #[test]
    fn hash_of_another_purpose_is_another() {
        let peppers = Peppers::new(pepper("one", "a"), vec![]).expect("valid");
        assert_ne!(
            peppers.hash(Purpose::Invitation, b"text"),
            peppers.hash(Purpose::PasswordReset, b"text")
        );
    }

    #[test]
    fn weak_or_ambiguous_peppers_are_refused() {
        let short = Pepper {
            id: "one".to_owned(),
            secret: Secret::new("a".repeat(MIN_LENGTH_BYTES - 1)),
        };
        assert!(matches!(Peppers::new(short, vec![]), Err(Error::TooShort { .. })));
        assert!(matches!(
            Peppers::new(pepper("one", "a"), vec![pepper("one", "b")]),
            Err(Error::Duplicate { .. })
        ));
        for id in ["", "a b", "é", &"x".repeat(33)] {
            assert!(
                matches!(Peppers::new(pepper(id, "a"), vec![]), Err(Error::Id { .. })),
                "{id:?}"
            );
        }
    }

    #[test]
    fn debug_output_names_peppers_without_their_secrets() {
        let peppers = Peppers::new(pepper("one", "a"), vec![]).expect("valid");
        assert_eq!(format!("{peppers:?}"), r#"["one"]"#);
    }
}
