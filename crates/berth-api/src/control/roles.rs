//! Roles: the built-in ones, and those that an organization makes of the same permissions.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod remove;
pub(crate) mod show;
pub(crate) mod update;

use std::borrow::Cow;

use berth_domain::id::RoleId;
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use berth_store::roles::GivenRole;
use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::list::Item;

/// A role that the organization made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Role {
    /// Its id.
    role_id: RoleId,
    /// A short name; no two roles of an organization have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// What those who have it may do.
    permissions: PermissionSet,
    /// When it was made.
    created_at: DateTime<Utc>,
}

impl From<berth_store::roles::Role> for Role {
    fn from(role: berth_store::roles::Role) -> Self {
        Self {
            role_id: role.id,
            name: role.name,
            title: role.title,
            permissions: role.permissions,
            created_at: role.created_at,
        }
    }
}

impl Item for Role {
    fn id(&self) -> String {
        self.role_id.to_string()
    }
}

/// A role that somebody has or is given: the name of a built-in one, or the id of one that the organization made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoleName(pub(crate) GivenRole);

impl Serialize for RoleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            GivenRole::Builtin(role) => serializer.serialize_str(role.as_str()),
            GivenRole::Custom(role) => serializer.collect_str(&role),
        }
    }
}

impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let builtin = text.parse().map(GivenRole::Builtin).ok();
        builtin
            .or_else(|| text.parse().map(GivenRole::Custom).ok())
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(
                    "a role is `owner`, `admin`, `developer`, `billing`, `viewer`, or the id of a role",
                )
            })
    }
}

impl PartialSchema for RoleName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "`owner`, `admin`, `developer`, `billing`, `viewer`, or the id of a role that the organization made.",
            ))
            .examples(["developer"])
            .into()
    }
}

impl ToSchema for RoleName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_is_a_built_in_name_or_an_id() {
        for text in ["owner", "viewer", "role_01jd0000000000000000000000"] {
            let role: RoleName = serde_json::from_value(text.into()).expect(text);
            assert_eq!(serde_json::to_value(role).expect("serializes"), text);
        }
        for text in ["", "Owner", "root", "role_1", "org_01jd0000000000000000000000"] {
            assert!(
                serde_json::from_value::<RoleName>(text.into()).is_err(),
                "{text:?}"
            );
        }
    }
}
