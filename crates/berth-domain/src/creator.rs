//! Who made a thing.

use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::id::{ApiKeyId, UserId};

/// Who made a thing: a person, or a program by its key. In JSON an object with one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Creator {
    /// A person.
    User(UserId),
    /// A program that held this key.
    Key(ApiKeyId),
}

impl From<&Caller> for Creator {
    fn from(caller: &Caller) -> Self {
        match caller {
            Caller::Person(person) => Self::User(person.user),
            Caller::Key(identity) => Self::Key(identity.key),
        }
    }
}
