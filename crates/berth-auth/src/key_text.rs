//! The text of an API key: `bth_<environment>_<public id>_<secret><checksum>`.
//!
//! - The environment is the installation's own short word, such as `live`, so that a key of the test installation is
//!   seen to be one.
//! - The public id (16 digits of base 62) finds the record; it may be shown and logged.
//! - The secret (43 digits, more than 256 bits) is shown once. What is stored is the HMAC of everything up to its end,
//!   under a [pepper](crate::pepper), so a key cannot be altered in any part.
//! - The checksum (6 digits) is the beginning of the SHA-256 of everything before it: typing errors are refused, and
//!   leaked keys are recognized by scanners, without asking anybody.

use std::fmt;
use std::str::FromStr;

use berth_domain::random::Random;
use berth_domain::secret::Secret;
use sha2::{Digest as _, Sha256};

use crate::base62;
use crate::pepper::{Peppers, Purpose};

/// What every key begins with.
pub const PREFIX: &str = "bth";

const PUBLIC_ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const MAX_ENVIRONMENT_LENGTH: usize = 12;

/// A text that is not an API key: whoever sent it can act. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It has another form.
    #[error("an API key has the form `{PREFIX}_<environment>_<16 characters>_<49 characters>`")]
    Form,
    /// It has the form of a key, but some character was altered or is missing.
    #[error("the API key is not complete or was altered: its checksum does not fit")]
    Checksum,
    /// Not an environment.
    #[error("an environment has 1 to {MAX_ENVIRONMENT_LENGTH} small letters or digits")]
    Environment,
}

/// The installation's word in its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(String);

impl Environment {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Environment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if (1..=MAX_ENVIRONMENT_LENGTH).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Environment)
        }
    }
}

/// The part of a key by which its record is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId([u8; PUBLIC_ID_LENGTH]);

impl PublicId {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for PublicId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes: [u8; PUBLIC_ID_LENGTH] = text.as_bytes().try_into().map_err(|_| Error::Form)?;
        if base62::is_base62(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(Error::Form)
        }
    }
}

/// The text of a key, taken apart. Holds the secret; its `Debug` form shows the public id alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyText<'a> {
    public_id: PublicId,
    environment: &'a str,
    /// Everything before the checksum.
    signed: &'a str,
}

impl<'a> KeyText<'a> {
    /// Takes `text` apart. Fails without a look-up when it is not a key or was altered. The time it takes depends on
    /// the text's form, not on its secret.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let mut parts = text.split('_');
        let (Some(PREFIX), Some(environment), Some(public_id), Some(secret), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(Error::Form);
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(1..=MAX_ENVIRONMENT_LENGTH).contains(&environment.len())
            || !environment.bytes().all(plain)
            || secret.len() != SECRET_LENGTH + CHECKSUM_LENGTH
            || !base62::is_base62(secret.as_bytes())
        {
            return Err(Error::Form);
        }
        let public_id = public_id.parse()?;
        let (signed, checksum) = text.split_at(text.len() - CHECKSUM_LENGTH);
        if checksum.as_bytes() != checksum_of(signed) {
            return Err(Error::Checksum);
        }
        Ok(Self {
            public_id,
            environment,
            signed,
        })
    }

    /// The part by which the record is found.
    pub fn public_id(&self) -> PublicId {
        self.public_id
    }

    /// The installation's word that the key carries.
    pub fn environment(&self) -> &'a str {
        self.environment
    }

    /// Whether `hash`, made with the pepper `pepper_id`, belongs to this key; `None` when that pepper is not configured.
    pub(crate) fn matches(&self, peppers: &Peppers, pepper_id: &str, hash: &[u8; 32]) -> Option<bool> {
        peppers.verify(pepper_id, Purpose::ApiKey, self.signed.as_bytes(), hash)
    }
}

impl fmt::Debug for KeyText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyText")
            .field("public_id", &self.public_id)
            .finish_non_exhaustive()
    }
}

/// A key that was just made: its text, to be shown once, and what is stored of it.
#[derive(Debug, Clone)]
pub struct FreshKey {
    /// The whole key.
    pub text: Secret,
    /// The part by which its record is found.
    pub public_id: PublicId,
    /// What is stored in place of the text.
    pub hash: [u8; 32],
    /// The pepper that made the hash.
    pub pepper_id: String,
}

impl FreshKey {
    /// Makes a key.
    pub fn new(environment: &Environment, random: &dyn Random, peppers: &Peppers) -> Self {
        let digits = base62::random(random, PUBLIC_ID_LENGTH);
        let mut public_id = [0; PUBLIC_ID_LENGTH];
        public_id.copy_from_slice(digits.as_bytes());
        let secret = base62::random(random, SECRET_LENGTH);
        let mut text = format!("{PREFIX}_{}_{digits}_{secret}", environment.as_str());
        let hash = peppers.hash(Purpose::ApiKey, text.as_bytes());
        let checksum = checksum_of(&text);
        text.extend(checksum.map(char::from));
        Self {
            text: Secret::new(text),
            public_id: PublicId(public_id),
            hash,
            pepper_id: peppers.current_id().to_owned(),
        }
    }
}

fn checksum_of(signed: &str) -> [u8; CHECKSUM_LENGTH] {
    let digest = Sha256::digest(signed.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    base62::digits(u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use berth_domain::random::SeededRandom;
    use proptest::prelude::*;

    use super::*;
    use crate::pepper::Pepper;

    fn peppers() -> Peppers {
        let pepper = Pepper {
            id: "one".to_owned(),
            secret: Secret::new("p".repeat(32)),
        };
        Peppers::new(pepper, vec![]).expect("a valid pepper")
    }

    fn fresh(seed: u64) -> FreshKey {
        FreshKey::new(
            &"live".parse().expect("an environment"),
            &SeededRandom::new(seed),
            &peppers(),
        )
    }

    #[test]
    fn key_has_the_documented_form() {
        let key = fresh(1);
        let text = key.text.expose();
        assert_eq!(text.len(), "bth_live_".len() + 16 + 1 + 49);
        assert!(text.starts_with(&format!("bth_live_{}_", key.public_id)));
        let parsed = KeyText::parse(text).expect("parses");
        assert_eq!(parsed.public_id(), key.public_id);
        assert_eq!(parsed.environment(), "live");
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let key = fresh(1);
        let parsed = KeyText::parse(key.text.expose()).expect("parses");
        let secret = &key.text.expose()[key.text.expose().len() - 49..];
        assert!(!format!("{parsed:?} {key:?}").contains(secret));
    }

    #[test]
    fn texts_that_are_no_keys_are_refused() {
        let good = fresh(1).text.expose().to_owned();
        for text in [
            "",
            "bth",
            "bth___",
            "bth_live",
            "sk-abc",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}0"),
            &format!(" {good}"),
            &format!("{good}_"),
            &good.replace("live", ""),
            &good.replace("live", "LIVE"),
            &good.replace("live", "averylongword"),
            &good.replace('_', "-"),
            "bth_live_ééééé_ö",
        ] {
            assert_eq!(KeyText::parse(text), Err(Error::Form), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn made_keys_parse_and_match_their_hash(seed: u64) {
            let key = fresh(seed);
            let parsed = KeyText::parse(key.text.expose()).expect("parses");
            prop_assert_eq!(parsed.matches(&peppers(), &key.pepper_id, &key.hash), Some(true));
        }

        #[test]
        fn altered_character_is_noticed_without_a_look_up(seed: u64, place in 0usize..75, replacement in "[0-9A-Za-z_]") {
            let key = fresh(seed);
            let text = key.text.expose();
            let place = place % text.len();
            let mut altered = text.to_owned();
            altered.replace_range(place..=place, &replacement);
            prop_assume!(altered != text);
            prop_assert!(KeyText::parse(&altered).is_err());
        }

        #[test]
        fn key_of_another_seed_does_not_match(seed: u64) {
            let (one, other) = (fresh(seed), fresh(seed.wrapping_add(1)));
            let parsed = KeyText::parse(one.text.expose()).expect("parses");
            prop_assert_eq!(parsed.matches(&peppers(), "one", &other.hash), Some(false));
        }

        #[test]
        fn any_text_is_parsed_without_panic(text in "\\PC*") {
            let _ = KeyText::parse(&text);
        }

        #[test]
        fn key_like_text_is_parsed_without_panic(text in "bth_[a-z]{0,14}_[0-9A-Za-zé]{0,20}_[0-9A-Za-z]{0,60}") {
            let _ = KeyText::parse(&text);
        }
    }
}
