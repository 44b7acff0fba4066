//! From columns to words of the domain: each conversion may fail, and then says which row it was.

use std::error::Error as StdError;
use std::fmt::Display;
use std::str::FromStr;

use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_domain::id::{ApiKeyId, RoleId, UserId};
use berth_domain::permission::{Permission, PermissionSet};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::Error;
use crate::roles::GivenRole;

/// A row that is being converted.
pub(crate) struct Row {
    table: &'static str,
    id: String,
}

/// Why a value cannot be what its column holds.
#[derive(Debug, thiserror::Error)]
enum Misfit {
    #[error("neither or both of two columns that exclude each other are set")]
    NotOneOfTwo,
}

impl Row {
    pub(crate) fn new(table: &'static str, id: impl Display) -> Self {
        Self {
            table,
            id: id.to_string(),
        }
    }

    pub(crate) fn inconsistent(
        &self,
        column: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        Error::Inconsistent {
            table: self.table,
            column,
            id: self.id.clone(),
            source: source.into(),
        }
    }

    pub(crate) fn parse<T>(&self, column: &'static str, text: &str) -> Result<T, Error>
    where
        T: FromStr<Err: StdError + Send + Sync + 'static>,
    {
        text.parse().map_err(|error| self.inconsistent(column, error))
    }

    pub(crate) fn parse_optional<T>(
        &self,
        column: &'static str,
        text: Option<&str>,
    ) -> Result<Option<T>, Error>
    where
        T: FromStr<Err: StdError + Send + Sync + 'static>,
    {
        text.map(|text| self.parse(column, text)).transpose()
    }

    pub(crate) fn parse_all<T>(&self, column: &'static str, texts: &[String]) -> Result<Vec<T>, Error>
    where
        T: FromStr<Err: StdError + Send + Sync + 'static>,
    {
        texts.iter().map(|text| self.parse(column, text)).collect()
    }

    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        value: serde_json::Value,
    ) -> Result<T, Error> {
        serde_json::from_value(value).map_err(|error| self.inconsistent(column, error))
    }

    pub(crate) fn bytes32(&self, column: &'static str, bytes: &[u8]) -> Result<[u8; 32], Error> {
        bytes.try_into().map_err(|error| self.inconsistent(column, error))
    }

    pub(crate) fn digest(&self, column: &'static str, bytes: &[u8]) -> Result<Sha256, Error> {
        self.bytes32(column, bytes).map(Sha256::from_bytes)
    }

    pub(crate) fn number<I, N>(&self, column: &'static str, number: I) -> Result<N, Error>
    where
        N: TryFrom<I, Error: StdError + Send + Sync + 'static>,
    {
        number
            .try_into()
            .map_err(|error| self.inconsistent(column, error))
    }

    pub(crate) fn creator(&self, user: Option<Uuid>, key: Option<Uuid>) -> Result<Creator, Error> {
        match (user, key) {
            (Some(user), None) => Ok(Creator::User(UserId::from_uuid(user))),
            (None, Some(key)) => Ok(Creator::Key(ApiKeyId::from_uuid(key))),
            _ => Err(self.inconsistent("created_by_user_id", Misfit::NotOneOfTwo)),
        }
    }

    pub(crate) fn given_role(&self, role: Option<&str>, role_id: Option<Uuid>) -> Result<GivenRole, Error> {
        match (role, role_id) {
            (Some(role), None) => self.parse("role", role).map(GivenRole::Builtin),
            (None, Some(role)) => Ok(GivenRole::Custom(RoleId::from_uuid(role))),
            _ => Err(self.inconsistent("role", Misfit::NotOneOfTwo)),
        }
    }
}

/// The permissions that these texts name. One that this release does not know was given by a newer one, and is not
/// granted here: reading less is safe, refusing the whole row would break neighbors of different release.
pub(crate) fn permissions(texts: &[String]) -> PermissionSet {
    texts
        .iter()
        .filter_map(|text| text.parse::<Permission>().ok())
        .collect()
}

/// The texts of `permissions`, as they are stored.
pub(crate) fn permission_texts(permissions: &PermissionSet) -> Vec<String> {
    permissions
        .iter()
        .map(|permission| permission.as_str().to_owned())
        .collect()
}

/// The two columns of who made a thing: user, key.
pub(crate) fn creator_columns(creator: Creator) -> (Option<Uuid>, Option<Uuid>) {
    match creator {
        Creator::User(user) => (Some(user.as_uuid()), None),
        Creator::Key(key) => (None, Some(key.as_uuid())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_value_names_its_row() {
        let row = Row::new("users", "x");
        let error = row.bytes32("hash", &[0; 31]).expect_err("31 bytes are no digest");
        assert_eq!(
            error.to_string(),
            "column `hash` of `users` holds something impossible in row x"
        );
        assert!(row.creator(None, None).is_err());
        assert!(row.given_role(Some("owner"), Some(Uuid::nil())).is_err());
        assert!(row.number::<i64, u64>("size_bytes", -1).is_err());
    }

    #[test]
    fn permission_of_a_newer_release_is_not_granted() {
        let set = permissions(&["keys.read".to_owned(), "moon.fly".to_owned()]);
        assert_eq!(permission_texts(&set), ["keys.read"]);
    }
}
