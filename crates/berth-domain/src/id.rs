//! Typed ids. Each is a UUIDv7 (RFC 9562), shown as a prefix and 26 characters of Crockford base32 in lower case, as in
//! the TypeID convention: `org_01jd…`. An id of one kind never parses as another, and ids sort by creation time.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Clock;
use crate::random::Random;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LENGTH: usize = 26;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id here looks like `{prefix}_` followed by 26 characters of base32")]
pub struct Error {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

/// A fresh UUIDv7 from the given clock and random source.
fn fresh(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    let mut noise = [0; 10];
    random.fill(&mut noise);
    let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &noise).into_uuid()
}

fn encode(uuid: Uuid, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = uuid.as_u128();
    for place in (0..SUFFIX_LENGTH).rev() {
        let index = usize::try_from((value >> (5 * place)) & 31).unwrap_or(0);
        fmt::Write::write_char(out, char::from(ALPHABET[index]))?;
    }
    Ok(())
}

fn decode(suffix: &str) -> Option<Uuid> {
    if suffix.len() != SUFFIX_LENGTH || suffix.as_bytes()[0] > b'7' {
        return None;
    }
    suffix
        .bytes()
        .try_fold(0u128, |value, byte| {
            let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
            Some((value << 5) | u128::try_from(digit).ok()?)
        })
        .map(Uuid::from_u128)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id.
            pub fn new(clock: &dyn Clock, random: &dyn Random) -> Self {
                Self(fresh(clock, random))
            }

            /// The id that is stored as `uuid`.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID as it is stored.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(concat!($prefix, "_"))?;
                encode(self.0, out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, out)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self).ok_or(Error { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$")))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// A tenant.
    OrganizationId = "org";
    /// A project of an organization.
    ProjectId = "proj";
    /// A person who can sign in; stands outside organizations and is a member of some.
    UserId = "user";
    /// A membership of a user in an organization, or in one of its projects.
    MembershipId = "mbr";
    /// A custom role of an organization.
    RoleId = "role";
    /// An invitation to an organization.
    InvitationId = "inv";
    /// A request to set a new password.
    PasswordResetId = "pwr";
    /// A non-human member of a project.
    ServiceAccountId = "sa";
    /// An API key (the record; the text that a client sends has a public id of its own).
    ApiKeyId = "key";
    /// A signed-in session: the family of its refresh tokens.
    SessionId = "sess";
    /// A model.
    ModelId = "model";
    /// One immutable version of a model.
    VersionId = "ver";
    /// A deployment.
    DeploymentId = "dep";
    /// A message in the outbox or the queue.
    MessageId = "msg";
    /// A worker process, for as long as it lives.
    WorkerId = "worker";
    /// One loaded copy of a version on a worker.
    ReplicaId = "rep";
    /// One request, as `x-request-id` shows it.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::random::SeededRandom;

    fn fixed() -> (ManualClock, SeededRandom) {
        (
            ManualClock::new(chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000)),
            SeededRandom::new(1),
        )
    }

    #[test]
    fn id_survives_its_text_form() {
        let (clock, random) = fixed();
        let id = OrganizationId::new(&clock, &random);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), "org_".len() + SUFFIX_LENGTH);
    }

    #[test]
    fn largest_and_smallest_ids_survive_their_text_form() {
        for uuid in [Uuid::nil(), Uuid::max()] {
            let id = UserId::from_uuid(uuid);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn id_of_another_kind_is_refused() {
        let (clock, random) = fixed();
        let id = OrganizationId::new(&clock, &random).to_string();
        assert_eq!(id.parse::<ProjectId>(), Err(Error { prefix: "proj" }));
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "org",
            "org_",
            "org_zz",
            "org_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "org_01jd00000000000000000000i0",
            "org_äääääääääääää",
        ] {
            assert!(text.parse::<OrganizationId>().is_err(), "{text:?} parsed");
        }
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let (clock, random) = fixed();
        let first = ModelId::new(&clock, &random);
        clock.advance(chrono::TimeDelta::milliseconds(1));
        let second = ModelId::new(&clock, &random);
        assert!(first < second && first.to_string() < second.to_string());
    }
}
