//! Tokens of one-time links: invitations and new passwords.
//!
//! A token is derived from the row's id under a [pepper](crate::pepper) and never stored, neither in the database, which
//! holds its SHA-256, nor in the outbox, which holds the id: whoever sends the letter derives it again, and a letter that
//! is sent twice carries the same link.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use berth_domain::digest::Sha256;
use berth_domain::id::{InvitationId, PasswordResetId};
use berth_domain::secret::Secret;

use crate::pepper::{Peppers, Purpose};

/// What a link is for: the row that it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Invitation(InvitationId),
    PasswordReset(PasswordResetId),
}

impl Subject {
    fn purpose(self) -> Purpose {
        match self {
            Self::Invitation(_) => Purpose::Invitation,
            Self::PasswordReset(_) => Purpose::PasswordReset,
        }
    }

    fn id(self) -> String {
        match self {
            Self::Invitation(id) => id.to_string(),
            Self::PasswordReset(id) => id.to_string(),
        }
    }

    fn token(self, mac: &[u8; 32]) -> Secret {
        let kind = match self {
            Self::Invitation(_) => INVITATION_PREFIX,
            Self::PasswordReset(_) => PASSWORD_RESET_PREFIX,
        };
        Secret::new(format!("{kind}{}", BASE64_URL_SAFE_NO_PAD.encode(mac)))
    }
}

const INVITATION_PREFIX: &str = "bthi_";
const PASSWORD_RESET_PREFIX: &str = "bthp_";
const DIGITS: usize = 43;

/// A token and what is stored of it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) token: Secret,
    pub(crate) hash: [u8; 32],
}

/// The token for a new row.
pub(crate) fn derive(peppers: &Peppers, subject: Subject) -> Link {
    let mac = peppers.hash(subject.purpose(), subject.id().as_bytes());
    let token = subject.token(&mac);
    Link {
        hash: hash(&token),
        token,
    }
}

/// The token of a row whose stored hash is `stored`; `None` when the pepper that made it is gone.
pub(crate) fn recover(peppers: &Peppers, subject: Subject, stored: &[u8; 32]) -> Option<Secret> {
    let id = subject.id();
    peppers
        .hashes(subject.purpose(), id.as_bytes())
        .map(|mac| subject.token(&mac))
        .find(|token| hash(token) == *stored)
}

/// The hash by which the row of an invitation's token is found; `None` when the text has not the form of one.
pub(crate) fn invitation_hash(token: &Secret) -> Option<[u8; 32]> {
    hash_of(token, INVITATION_PREFIX)
}

/// The hash by which the row of a new password's token is found; `None` when the text has not the form of one.
pub(crate) fn password_reset_hash(token: &Secret) -> Option<[u8; 32]> {
    hash_of(token, PASSWORD_RESET_PREFIX)
}

fn hash_of(token: &Secret, prefix: &str) -> Option<[u8; 32]> {
    let digits = token.expose().strip_prefix(prefix)?;
    (digits.len() == DIGITS).then(|| hash(token))
}

fn hash(token: &Secret) -> [u8; 32] {
    *Sha256::of(token.expose().as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::SystemClock;
    use berth_domain::random::SystemRandom;

    use super::*;
    use crate::pepper::Pepper;

    fn pepper(id: &str) -> Pepper {
        Pepper {
            id: id.to_owned(),
            secret: Secret::new(id.repeat(32)),
        }
    }

    fn peppers() -> Peppers {
        Peppers::new(pepper("one"), vec![]).expect("a pepper")
    }

    fn invitation() -> Subject {
        Subject::Invitation(InvitationId::new(&SystemClock, &SystemRandom))
    }

    #[test]
    fn token_leads_to_the_stored_hash_and_is_derived_again_from_it() {
        let subject = invitation();
        let link = derive(&peppers(), subject);
        assert_eq!(invitation_hash(&link.token), Some(link.hash));
        assert_eq!(recover(&peppers(), subject, &link.hash), Some(link.token));
    }

    #[test]
    fn token_outlives_the_rotation_of_its_pepper_until_that_is_gone() {
        let subject = invitation();
        let link = derive(&peppers(), subject);
        let rotated = Peppers::new(pepper("two"), vec![pepper("one")]).expect("peppers");
        assert_eq!(recover(&rotated, subject, &link.hash), Some(link.token));
        let gone = Peppers::new(pepper("two"), vec![]).expect("a pepper");
        assert_eq!(recover(&gone, subject, &link.hash), None);
    }

    #[test]
    fn token_of_one_row_or_kind_is_none_of_another() {
        let link = derive(&peppers(), invitation());
        assert_eq!(recover(&peppers(), invitation(), &link.hash), None);
        assert_eq!(password_reset_hash(&link.token), None);
        assert_eq!(invitation_hash(&Secret::new("bthi_")), None);
        assert_eq!(invitation_hash(&Secret::new("")), None);
    }
}
