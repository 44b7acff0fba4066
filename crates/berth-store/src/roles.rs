//! Roles: the built-in ones, and those that an organization makes for itself.

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, RoleId};
use berth_domain::name::{Handle, Title};
use berth_domain::permission::{BuiltinRole, PermissionSet};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::{Row, permission_texts, permissions};

/// The name is another role's of the organization already.
pub const NAME_TAKEN: &str = "roles_organization_id_name_key";

/// The role is not there, or, on removal, some member still has it.
pub const HELD: &str = "memberships_organization_id_role_id_fkey";

/// A role as somebody is given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenRole {
    /// One that every organization has.
    Builtin(BuiltinRole),
    /// One that the organization made.
    Custom(RoleId),
}

impl GivenRole {
    /// The two columns of a given role: the text of a built-in one, the id of a custom one.
    pub(crate) fn columns(self) -> (Option<&'static str>, Option<Uuid>) {
        match self {
            Self::Builtin(role) => (Some(role.as_str()), None),
            Self::Custom(role) => (None, Some(role.as_uuid())),
        }
    }
}

/// A role that an organization made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Where it belongs.
    pub organization: OrganizationId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// What those who have it may do.
    pub permissions: PermissionSet,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A role to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRole {
    /// Its id.
    pub id: RoleId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// What those who have it may do.
    pub permissions: PermissionSet,
    /// When it is made.
    pub created_at: Timestamp,
}

/// What changes about a role; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleChange {
    /// What stands in addresses.
    pub name: Option<Handle>,
    /// What people read.
    pub title: Option<Title>,
    /// What those who have it may do.
    pub permissions: Option<PermissionSet>,
}

/// Custom roles, inside a transaction.
pub struct Roles<'t>(pub(crate) &'t mut PgConnection);

impl Roles<'_> {
    /// Adds a role. Fails by [`NAME_TAKEN`].
    pub async fn insert(&mut self, organization: OrganizationId, role: &NewRole) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO roles (role_id, organization_id, name, title, permissions, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)",
            role.id.as_uuid(),
            organization.as_uuid(),
            role.name.as_str(),
            role.title.as_str(),
            &permission_texts(&role.permissions),
            role.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("roles", done.rows_affected())
    }

    /// The role.
    pub async fn show(&mut self, organization: OrganizationId, role: RoleId) -> Result<Option<Role>, Error> {
        sqlx::query_as!(
            RoleRow,
            "SELECT role_id, organization_id, name, title, permissions, created_at
            FROM roles
            WHERE organization_id = $1 AND role_id = $2",
            organization.as_uuid(),
            role.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Role::try_from)
        .transpose()
    }

    /// The roles of the organization.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        page: &Page<RoleId>,
    ) -> Result<List<Role>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            RoleRow,
            "SELECT role_id, organization_id, name, title, permissions, created_at
            FROM roles
            WHERE organization_id = $4",
            "role_id",
            organization.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Changes the role, and with it what everybody who has it may do. Answers whether it is there. Fails by
    /// [`NAME_TAKEN`].
    pub async fn update(
        &mut self,
        organization: OrganizationId,
        role: RoleId,
        change: &RoleChange,
    ) -> Result<bool, Error> {
        let permissions = change.permissions.as_ref().map(permission_texts);
        let done = sqlx::query!(
            "UPDATE roles
            SET name = COALESCE($3, name), title = COALESCE($4, title), permissions = COALESCE($5, permissions)
            WHERE organization_id = $1 AND role_id = $2",
            organization.as_uuid(),
            role.as_uuid(),
            change.name.as_ref().map(Handle::as_str),
            change.title.as_ref().map(Title::as_str),
            permissions.as_deref(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("roles", done.rows_affected())
    }

    /// Removes the role, and invitations that would give it. Answers whether it was there. Fails by [`HELD`].
    pub async fn remove(&mut self, organization: OrganizationId, role: RoleId) -> Result<bool, Error> {
        let done = sqlx::query!(
            "DELETE FROM roles
            WHERE organization_id = $1 AND role_id = $2",
            organization.as_uuid(),
            role.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("roles", done.rows_affected())
    }
}

struct RoleRow {
    role_id: Uuid,
    organization_id: Uuid,
    name: String,
    title: String,
    permissions: Vec<String>,
    created_at: Timestamp,
}

impl TryFrom<RoleRow> for Role {
    type Error = Error;

    fn try_from(stored: RoleRow) -> Result<Self, Error> {
        let row = Row::new("roles", stored.role_id);
        Ok(Self {
            id: RoleId::from_uuid(stored.role_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            name: row.parse("name", &stored.name)?,
            title: row.parse("title", &stored.title)?,
            permissions: permissions(&stored.permissions),
            created_at: stored.created_at,
        })
    }
}
