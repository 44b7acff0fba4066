//! What a caller may do: permissions, and the roles that bundle them.

use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One thing that a caller may do inside an organization. Roles are sets of permissions, and so are the scopes of
        /// an API key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Permission {
            /// Every permission, in the order of the documentation.
            pub const ALL: &'static [Permission] = &[$(Permission::$name,)*];

            /// The text form, as in JSON and in the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Permission::$name => $text,)*
                }
            }
        }

        impl std::str::FromStr for Permission {
            type Err = UnknownPermission;

            fn from_str(text: &str) -> Result<Self, UnknownPermission> {
                match text {
                    $($text => Ok(Permission::$name),)*
                    _ => Err(UnknownPermission(text.to_owned())),
                }
            }
        }
    };
}

/// A text that names no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no permission called `{0}`")]
pub struct UnknownPermission(pub String);

permissions! {
    /// See the organization and its settings.
    OrganizationRead = "organization.read";
    /// Change, suspend or delete the organization.
    OrganizationManage = "organization.manage";
    /// See members, roles and invitations.
    MembersRead = "members.read";
    /// Invite and remove members, give roles, make custom roles.
    MembersManage = "members.manage";
    /// See projects.
    ProjectsRead = "projects.read";
    /// Make, change, suspend and delete projects.
    ProjectsManage = "projects.manage";
    /// See service accounts and API keys (never their secrets).
    KeysRead = "keys.read";
    /// Make, rotate and revoke service accounts and API keys.
    KeysManage = "keys.manage";
    /// See models and their versions.
    ModelsRead = "models.read";
    /// Upload, change and delete models.
    ModelsWrite = "models.write";
    /// See deployments.
    DeploymentsRead = "deployments.read";
    /// Make, change and remove deployments.
    DeploymentsWrite = "deployments.write";
    /// Call models.
    InferenceRun = "inference.run";
    /// See usage and bills.
    BillingRead = "billing.read";
    /// Change what is bought and how it is paid.
    BillingManage = "billing.manage";
}

/// A role that every organization has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BuiltinRole {
    /// Everything; an organization always keeps at least one.
    Owner,
    /// Everything but managing the organization itself and its money.
    Admin,
    /// Models, deployments, keys and calls.
    Developer,
    /// Usage and bills.
    Billing,
    /// Reads what is not money, changes nothing.
    Viewer,
}

impl BuiltinRole {
    /// Every built-in role, the strongest first.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Admin,
        Self::Developer,
        Self::Billing,
        Self::Viewer,
    ];

    /// The text form, as in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
        }
    }

    /// What the role may do.
    pub fn permissions(self) -> PermissionSet {
        use Permission as P;
        let viewer = [
            P::OrganizationRead,
            P::MembersRead,
            P::ProjectsRead,
            P::KeysRead,
            P::ModelsRead,
            P::DeploymentsRead,
        ];
        match self {
            Self::Owner => Permission::ALL.iter().copied().collect(),
            Self::Admin => Permission::ALL
                .iter()
                .copied()
                .filter(|permission| !matches!(permission, P::OrganizationManage | P::BillingManage))
                .collect(),
            Self::Developer => viewer
                .into_iter()
                .chain([
                    P::KeysManage,
                    P::ModelsWrite,
                    P::DeploymentsWrite,
                    P::InferenceRun,
                ])
                .collect(),
            Self::Billing => [
                P::OrganizationRead,
                P::ProjectsRead,
                P::BillingRead,
                P::BillingManage,
            ]
            .into_iter()
            .collect(),
            Self::Viewer => viewer.into_iter().collect(),
        }
    }
}

impl std::str::FromStr for BuiltinRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// A text that names no built-in role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role called `{0}`")]
pub struct UnknownRole(pub String);

/// A set of permissions. In JSON a list of their texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = Vec<Permission>)]
pub struct PermissionSet(std::collections::BTreeSet<Permission>);

impl PermissionSet {
    /// Whether `permission` is in the set.
    pub fn contains(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Whether all of `other` is in the set: nobody may hand out more than they have.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// The permissions in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// The permissions, in order.
    pub fn iter(&self) -> impl Iterator<Item = Permission> + '_ {
        self.0.iter().copied()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_texts_are_distinct_and_parse_back() {
        for &permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
        }
    }

    #[test]
    fn roles_never_exceed_the_owner() {
        let owner = BuiltinRole::Owner.permissions();
        for role in BuiltinRole::ALL {
            assert!(owner.covers(&role.permissions()));
            assert_eq!(role.as_str().parse(), Ok(role));
        }
    }

    #[test]
    fn viewer_changes_nothing_and_spends_nothing() {
        for permission in BuiltinRole::Viewer.permissions().iter() {
            assert_eq!(
                permission.as_str().rsplit_once('.').map(|(_, verb)| verb),
                Some("read"),
                "{permission:?}"
            );
        }
    }

    #[test]
    fn admin_cannot_touch_the_organization_or_its_money() {
        let admin = BuiltinRole::Admin.permissions();
        assert!(
            !admin.contains(Permission::OrganizationManage) && !admin.contains(Permission::BillingManage)
        );
    }
}
