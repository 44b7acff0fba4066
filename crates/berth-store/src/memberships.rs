//! Who belongs to an organization or to one of its projects, and in which role.

use berth_domain::clock::Timestamp;
use berth_domain::id::{MembershipId, OrganizationId, ProjectId, UserId};
use berth_domain::name::{Email, Title};
use berth_domain::permission::PermissionSet;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::roles::GivenRole;
use crate::row::{Row, permissions};

/// The person belongs there already.
pub const MEMBER_ALREADY: &str = "memberships_organization_id_project_id_user_id_key";

/// A membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// The organization.
    pub organization: OrganizationId,
    /// The project, if it is not the whole organization.
    pub project: Option<ProjectId>,
    /// The person.
    pub user: UserId,
    /// In which role.
    pub role: GivenRole,
    /// Since when.
    pub created_at: Timestamp,
}

/// A membership with who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The membership.
    pub membership: Membership,
    /// The person's address.
    pub email: Email,
    /// What the person calls themselves.
    pub name: Option<Title>,
    /// Since when the person may not sign in anywhere.
    pub disabled_at: Option<Timestamp>,
}

/// A membership with what it permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The membership.
    pub membership: Membership,
    /// What the role permits at present.
    pub permissions: PermissionSet,
}

/// A membership to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMembership {
    /// Its id.
    pub id: MembershipId,
    /// The project, if it is not the whole organization.
    pub project: Option<ProjectId>,
    /// The person.
    pub user: UserId,
    /// In which role.
    pub role: GivenRole,
    /// Since when.
    pub created_at: Timestamp,
}

/// Memberships, inside a transaction.
pub struct Memberships<'t>(pub(crate) &'t mut PgConnection);

impl Memberships<'_> {
    /// Adds a membership. Fails by [`MEMBER_ALREADY`].
    pub async fn insert(
        &mut self,
        organization: OrganizationId,
        membership: &NewMembership,
    ) -> Result<(), Error> {
        let (role, role_id) = membership.role.columns();
        let done = sqlx::query!(
            "INSERT INTO memberships (membership_id, organization_id, project_id, user_id, role, role_id, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)",
            membership.id.as_uuid(),
            organization.as_uuid(),
            membership.project.map(ProjectId::as_uuid),
            membership.user.as_uuid(),
            role,
            role_id,
            membership.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("memberships", done.rows_affected())
    }

    /// The membership with who it is.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        membership: MembershipId,
    ) -> Result<Option<Member>, Error> {
        sqlx::query_as!(
            MemberRow,
            "SELECT membership_id, organization_id, project_id, user_id, role, role_id, memberships.created_at,
                email, name, disabled_at
            FROM memberships
            JOIN users USING (user_id)
            WHERE organization_id = $1 AND membership_id = $2",
            organization.as_uuid(),
            membership.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Member::try_from)
        .transpose()
    }

    /// The members of the organization: those of the whole, and those of single projects.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        page: &Page<MembershipId>,
    ) -> Result<List<Member>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            MemberRow,
            "SELECT membership_id, organization_id, project_id, user_id, role, role_id, memberships.created_at,
                email, name, disabled_at
            FROM memberships
            JOIN users USING (user_id)
            WHERE organization_id = $4",
            "membership_id",
            organization.as_uuid(),
        )?;
        window.list(rows)
    }

    /// The members of one project; those of the whole organization are left out.
    pub async fn list_of_project(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<MembershipId>,
    ) -> Result<List<Member>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            MemberRow,
            "SELECT membership_id, organization_id, project_id, user_id, role, role_id, memberships.created_at,
                email, name, disabled_at
            FROM memberships
            JOIN users USING (user_id)
            WHERE organization_id = $4 AND project_id = $5",
            "membership_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        window.list(rows)
    }

    /// What `user` holds in the organization, with what it permits; memberships of deleted projects are left out.
    pub async fn of_user(&mut self, organization: OrganizationId, user: UserId) -> Result<Vec<Held>, Error> {
        let rows = sqlx::query_as!(
            HeldRow,
            r#"SELECT membership_id, memberships.organization_id, memberships.project_id, user_id, role,
                memberships.role_id, memberships.created_at, permissions AS "permissions?"
            FROM memberships
            LEFT JOIN roles
                ON roles.organization_id = memberships.organization_id
                AND roles.role_id = memberships.role_id
            LEFT JOIN projects
                ON projects.organization_id = memberships.organization_id
                AND projects.project_id = memberships.project_id
            WHERE memberships.organization_id = $1
                AND memberships.user_id = $2
                AND projects.deleted_at IS NULL
            ORDER BY membership_id"#,
            organization.as_uuid(),
            user.as_uuid(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(Held::try_from).collect()
    }

    /// The same as [`Memberships::of_user`], as it will be until the transaction ends: who removes the person or changes
    /// their role at the same time comes before or after.
    pub async fn lock_of_user(
        &mut self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Vec<Held>, Error> {
        sqlx::query_scalar!(
            "SELECT membership_id
            FROM memberships
            WHERE organization_id = $1 AND user_id = $2
            ORDER BY membership_id
            FOR SHARE",
            organization.as_uuid(),
            user.as_uuid(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        self.of_user(organization, user).await
    }

    /// Everywhere that `user` belongs, in that person's scope.
    pub async fn list_of_user(&mut self, user: UserId) -> Result<Vec<Membership>, Error> {
        let rows = sqlx::query_as!(
            MembershipRow,
            "SELECT membership_id, organization_id, project_id, user_id, role, role_id, created_at
            FROM memberships
            WHERE user_id = $1
            ORDER BY membership_id",
            user.as_uuid(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(Membership::try_from).collect()
    }

    /// The memberships of those who own the whole organization and may sign in. The organization stays locked until the
    /// transaction ends, so that of two who remove the last two owners one comes second and sees it.
    pub async fn lock_owners(&mut self, organization: OrganizationId) -> Result<Vec<Membership>, Error> {
        sqlx::query_scalar!(
            "SELECT organization_id
            FROM organizations
            WHERE organization_id = $1
            FOR NO KEY UPDATE",
            organization.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let rows = sqlx::query_as!(
            MembershipRow,
            "SELECT membership_id, organization_id, project_id, user_id, role, role_id, memberships.created_at
            FROM memberships
            JOIN users USING (user_id)
            WHERE organization_id = $1
                AND project_id IS NULL
                AND role = 'owner'
                AND users.disabled_at IS NULL
            ORDER BY membership_id",
            organization.as_uuid(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(Membership::try_from).collect()
    }

    /// Gives the member another role. Answers whether the membership is there.
    pub async fn give_role(
        &mut self,
        organization: OrganizationId,
        membership: MembershipId,
        role: GivenRole,
    ) -> Result<bool, Error> {
        let (role, role_id) = role.columns();
        let done = sqlx::query!(
            "UPDATE memberships
            SET role = $3, role_id = $4
            WHERE organization_id = $1 AND membership_id = $2",
            organization.as_uuid(),
            membership.as_uuid(),
            role,
            role_id,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("memberships", done.rows_affected())
    }

    /// Removes the membership. Answers whether it was there.
    pub async fn remove(
        &mut self,
        organization: OrganizationId,
        membership: MembershipId,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "DELETE FROM memberships
            WHERE organization_id = $1 AND membership_id = $2",
            organization.as_uuid(),
            membership.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("memberships", done.rows_affected())
    }
}

struct MembershipRow {
    membership_id: Uuid,
    organization_id: Uuid,
    project_id: Option<Uuid>,
    user_id: Uuid,
    role: Option<String>,
    role_id: Option<Uuid>,
    created_at: Timestamp,
}

struct MemberRow {
    membership_id: Uuid,
    organization_id: Uuid,
    project_id: Option<Uuid>,
    user_id: Uuid,
    role: Option<String>,
    role_id: Option<Uuid>,
    created_at: Timestamp,
    email: String,
    name: Option<String>,
    disabled_at: Option<Timestamp>,
}

struct HeldRow {
    membership_id: Uuid,
    organization_id: Uuid,
    project_id: Option<Uuid>,
    user_id: Uuid,
    role: Option<String>,
    role_id: Option<Uuid>,
    created_at: Timestamp,
    permissions: Option<Vec<String>>,
}

impl TryFrom<MembershipRow> for Membership {
    type Error = Error;

    fn try_from(stored: MembershipRow) -> Result<Self, Error> {
        let row = Row::new("memberships", stored.membership_id);
        Ok(Self {
            id: MembershipId::from_uuid(stored.membership_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: stored.project_id.map(ProjectId::from_uuid),
            user: UserId::from_uuid(stored.user_id),
            role: row.given_role(stored.role.as_deref(), stored.role_id)?,
            created_at: stored.created_at,
        })
    }
}

impl TryFrom<MemberRow> for Member {
    type Error = Error;

    fn try_from(stored: MemberRow) -> Result<Self, Error> {
        let row = Row::new("users", stored.user_id);
        Ok(Self {
            email: row.parse("email", &stored.email)?,
            name: row.parse_optional("name", stored.name.as_deref())?,
            disabled_at: stored.disabled_at,
            membership: Membership::try_from(MembershipRow {
                membership_id: stored.membership_id,
                organization_id: stored.organization_id,
                project_id: stored.project_id,
                user_id: stored.user_id,
                role: stored.role,
                role_id: stored.role_id,
                created_at: stored.created_at,
            })?,
        })
    }
}

impl TryFrom<HeldRow> for Held {
    type Error = Error;

    fn try_from(stored: HeldRow) -> Result<Self, Error> {
        let membership = Membership::try_from(MembershipRow {
            membership_id: stored.membership_id,
            organization_id: stored.organization_id,
            project_id: stored.project_id,
            user_id: stored.user_id,
            role: stored.role,
            role_id: stored.role_id,
            created_at: stored.created_at,
        })?;
        let permissions = match membership.role {
            GivenRole::Builtin(role) => role.permissions(),
            GivenRole::Custom(_) => permissions(&stored.permissions.unwrap_or_default()),
        };
        Ok(Self {
            membership,
            permissions,
        })
    }
}
