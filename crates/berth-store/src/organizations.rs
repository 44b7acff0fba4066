//! Organizations: the tenants.

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, UserId};
use berth_domain::model::TenantStatus;
use berth_domain::name::{Handle, Title};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::contents;
use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::Row;

/// The name is another organization's already.
pub const NAME_TAKEN: &str = "organizations_name_key";

/// Who suspended an organization, and so who may resume it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspender {
    /// An operator of the platform; the organization cannot lift it.
    Operator,
    /// An owner of the organization.
    Owner,
}

impl Suspender {
    /// The text form, as in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }
}

/// A text that names no suspender.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither `operator` nor `owner`")]
pub struct UnknownSuspender(String);

impl std::str::FromStr for Suspender {
    type Err = UnknownSuspender;

    fn from_str(text: &str) -> Result<Self, UnknownSuspender> {
        match text {
            "operator" => Ok(Self::Operator),
            "owner" => Ok(Self::Owner),
            _ => Err(UnknownSuspender(text.to_owned())),
        }
    }
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when, and by whom, it is suspended.
    pub suspended: Option<(Timestamp, Suspender)>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Organization {
    /// Whether it may be used.
    pub fn status(&self) -> TenantStatus {
        match (self.deleted_at, self.suspended) {
            (Some(_), _) => TenantStatus::Deleted,
            (None, Some(_)) => TenantStatus::Suspended,
            (None, None) => TenantStatus::Active,
        }
    }
}

/// An organization to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrganization {
    /// Its id.
    pub id: OrganizationId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// When it is made.
    pub created_at: Timestamp,
}

/// Organizations, inside a transaction.
pub struct Organizations<'t>(pub(crate) &'t mut PgConnection);

impl Organizations<'_> {
    /// Adds an organization, in the scope of its own id. Fails by [`NAME_TAKEN`].
    pub async fn insert(&mut self, organization: &NewOrganization) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO organizations (organization_id, name, title, created_at)
            VALUES ($1, $2, $3, $4)",
            organization.id.as_uuid(),
            organization.name.as_str(),
            organization.title.as_str(),
            organization.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("organizations", done.rows_affected())
    }

    /// The organization, a deleted one too.
    pub async fn show(&mut self, organization: OrganizationId) -> Result<Option<Organization>, Error> {
        sqlx::query_as!(
            OrganizationRow,
            "SELECT organization_id, name, title, created_at, suspended_at, suspended_by, deleted_at
            FROM organizations
            WHERE organization_id = $1",
            organization.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Organization::try_from)
        .transpose()
    }

    /// The organization, locked until the transaction ends: what must be decided one after the other begins with this.
    pub async fn lock(&mut self, organization: OrganizationId) -> Result<Option<Organization>, Error> {
        sqlx::query_as!(
            OrganizationRow,
            "SELECT organization_id, name, title, created_at, suspended_at, suspended_by, deleted_at
            FROM organizations
            WHERE organization_id = $1
            FOR NO KEY UPDATE",
            organization.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Organization::try_from)
        .transpose()
    }

    /// The organization, a deleted one too, held until the transaction ends: it is neither suspended nor deleted meanwhile.
    pub async fn hold(&mut self, organization: OrganizationId) -> Result<Option<Organization>, Error> {
        sqlx::query_as!(
            OrganizationRow,
            "SELECT organization_id, name, title, created_at, suspended_at, suspended_by, deleted_at
            FROM organizations
            WHERE organization_id = $1
            FOR SHARE",
            organization.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Organization::try_from)
        .transpose()
    }

    /// The organizations that `user` belongs to, in that person's scope; deleted ones are left out.
    pub async fn list_mine(
        &mut self,
        user: UserId,
        page: &Page<OrganizationId>,
    ) -> Result<List<Organization>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            OrganizationRow,
            "SELECT organization_id, name, title, created_at, suspended_at, suspended_by, deleted_at
            FROM organizations
            WHERE deleted_at IS NULL
                AND EXISTS (
                    SELECT FROM memberships
                    WHERE memberships.organization_id = organizations.organization_id
                        AND memberships.user_id = $4
                )",
            "organization_id",
            user.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Changes what the organization is called; what is `None` stays. Answers whether there is such an organization. Fails
    /// by [`NAME_TAKEN`].
    pub async fn rename(
        &mut self,
        organization: OrganizationId,
        name: Option<&Handle>,
        title: Option<&Title>,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE organizations
            SET name = COALESCE($2, name), title = COALESCE($3, title)
            WHERE organization_id = $1 AND deleted_at IS NULL",
            organization.as_uuid(),
            name.map(Handle::as_str),
            title.map(Title::as_str),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("organizations", done.rows_affected())
    }

    /// Suspends the organization; an operator's hand replaces an owner's, not the other way round. Answers whether that
    /// changed anything.
    pub async fn suspend(
        &mut self,
        organization: OrganizationId,
        by: Suspender,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE organizations
            SET suspended_at = $3, suspended_by = $2
            WHERE organization_id = $1
                AND deleted_at IS NULL
                AND (suspended_by IS NULL OR (suspended_by = 'owner' AND $2 = 'operator'))",
            organization.as_uuid(),
            by.as_str(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("organizations", done.rows_affected())
    }

    /// Lifts a suspension: an owner only an owner's. Answers whether that changed anything.
    pub async fn resume(&mut self, organization: OrganizationId, by: Suspender) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE organizations
            SET suspended_at = NULL, suspended_by = NULL
            WHERE organization_id = $1
                AND deleted_at IS NULL
                AND (suspended_by = 'owner' OR (suspended_by = 'operator' AND $2 = 'operator'))",
            organization.as_uuid(),
            by.as_str(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("organizations", done.rows_affected())
    }

    /// Deletes the organization: its keys, service accounts, invitations, deployments and models with it. Its name is free,
    /// its row and those of its projects and members stay. Answers whether it was there.
    pub async fn delete(&mut self, organization: OrganizationId, now: Timestamp) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE organizations
            SET deleted_at = $2
            WHERE organization_id = $1 AND deleted_at IS NULL",
            organization.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        let there = at_most_one_row("organizations", done.rows_affected())?;
        if there {
            contents::remove(&mut *self.0, organization, None, now).await?;
        }
        Ok(there)
    }
}

pub(crate) struct OrganizationRow {
    pub(crate) organization_id: Uuid,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) created_at: Timestamp,
    pub(crate) suspended_at: Option<Timestamp>,
    pub(crate) suspended_by: Option<String>,
    pub(crate) deleted_at: Option<Timestamp>,
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = Error;

    fn try_from(stored: OrganizationRow) -> Result<Self, Error> {
        let row = Row::new("organizations", stored.organization_id);
        let suspender = row.parse_optional("suspended_by", stored.suspended_by.as_deref())?;
        Ok(Self {
            id: OrganizationId::from_uuid(stored.organization_id),
            name: row.parse("name", &stored.name)?,
            title: row.parse("title", &stored.title)?,
            created_at: stored.created_at,
            suspended: stored.suspended_at.zip(suspender),
            deleted_at: stored.deleted_at,
        })
    }
}
