//! Encrypting what is stored and has to be shown again.
//!
//! ChaCha20-Poly1305, under a key of its own for each place, derived from the [pepper](crate::pepper): who reads the
//! database learns nothing, and what is moved to another place does not open there.

use berth_domain::random::Random;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::pepper::{Peppers, Purpose};

/// The first byte of everything that is sealed.
const VERSION: u8 = 1;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not written by this release, or not by Berth: the operator can act.
    #[error("what was sealed does not have the form that it should")]
    Form,
    /// It was sealed under a pepper that is gone: the operator who took it away can act.
    #[error("it was sealed under the pepper `{id}`, which is not configured any more")]
    NoSuchPepper {
        /// The pepper's id.
        id: String,
    },
    /// It was changed or moved since it was sealed, or the pepper was: the operator can act.
    #[error("what was sealed does not open here")]
    Forged,
    /// More than the cipher takes, 256 GiB.
    #[error("it is too much to be sealed")]
    TooLarge,
}

/// Seals `text` for `place` under the current pepper.
pub(crate) fn seal(
    peppers: &Peppers,
    random: &dyn Random,
    place: &[u8],
    text: &[u8],
) -> Result<Vec<u8>, Error> {
    let id = peppers.current_id().as_bytes();
    let length = u8::try_from(id.len()).map_err(|_| Error::Form)?;
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce);
    let mut sealed = [&[VERSION, length], id, &nonce].concat();
    let head = sealed.clone();
    let mut body = text.to_vec();
    cipher(&peppers.hash(Purpose::Sealing, place))?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&head), &mut body)
        .map_err(|_| Error::TooLarge)?;
    sealed.append(&mut body);
    Ok(sealed)
}

/// What was sealed for `place`.
pub(crate) fn open(peppers: &Peppers, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let [VERSION, length, rest @ ..] = sealed else {
        return Err(Error::Form);
    };
    let (id, rest) = rest.split_at_checked((*length).into()).ok_or(Error::Form)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::Form)?;
    let head = &sealed[..sealed.len() - body.len()];
    let id = std::str::from_utf8(id).map_err(|_| Error::Form)?;
    let key = peppers
        .hash_under(id, Purpose::Sealing, place)
        .ok_or_else(|| Error::NoSuchPepper { id: id.to_owned() })?;
    let mut body = body.to_vec();
    let length = cipher(&key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(head), &mut body)
        .map_err(|_| Error::Forged)?
        .len();
    body.truncate(length);
    Ok(body)
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, Error> {
    // Fails for keys of another length alone.
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| Error::Form)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use berth_domain::random::SeededRandom;
    use berth_domain::secret::Secret;

    use super::*;
    use crate::pepper::{MIN_LENGTH_BYTES, Pepper};

    const TEXT: &[u8] = b"bth_test_secret";

    fn pepper(id: &str, fill: &str) -> Pepper {
        Pepper {
            id: id.to_owned(),
            secret: Secret::new(fill.repeat(MIN_LENGTH_BYTES)),
        }
    }

    fn peppers(current: Pepper, previous: Vec<Pepper>) -> Peppers {
        Peppers::new(current, previous).expect("valid")
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let random = SeededRandom::new(1);
        let peppers = peppers(pepper("one", "a"), vec![]);
        let sealed = seal(&peppers, &random, b"here", TEXT).expect("seals");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(open(&peppers, b"here", &sealed).expect("opens"), TEXT);
        assert!(matches!(open(&peppers, b"there", &sealed), Err(Error::Forged)));
        assert_ne!(seal(&peppers, &random, b"here", TEXT).expect("seals"), sealed);
    }

    #[test]
    fn pepper_that_sealed_is_found_after_a_rotation_until_it_is_taken_away() {
        let sealed = seal(
            &peppers(pepper("one", "a"), vec![]),
            &SeededRandom::new(1),
            b"here",
            TEXT,
        )
        .expect("seals");
        let rotated = peppers(pepper("two", "b"), vec![pepper("one", "a")]);
        assert_eq!(open(&rotated, b"here", &sealed).expect("opens"), TEXT);
        let later = peppers(pepper("two", "b"), vec![]);
        let gone = open(&later, b"here", &sealed);
        assert!(matches!(gone, Err(Error::NoSuchPepper { id }) if id == "one"));
        let other = peppers(pepper("one", "b"), vec![]);
        assert!(matches!(open(&other, b"here", &sealed), Err(Error::Forged)));
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let peppers = peppers(pepper("one", "a"), vec![pepper("ond", "a")]);
        let sealed = seal(&peppers, &SeededRandom::new(1), b"here", TEXT).expect("seals");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(open(&peppers, b"here", &changed).is_err(), "byte {place}");
            assert!(
                open(&peppers, b"here", &sealed[..place]).is_err(),
                "cut at {place}"
            );
        }
    }
}
