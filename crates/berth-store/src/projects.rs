//! Projects of an organization.

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, ProjectId, UserId};
use berth_domain::model::TenantStatus;
use berth_domain::name::{Handle, Title};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::contents;
use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::Row;

/// The name is another project's of the organization already.
pub const NAME_TAKEN: &str = "projects_organization_id_name_key";

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Where it belongs.
    pub organization: OrganizationId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// Origins whose pages may call with the project's keys.
    pub cors_origins: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is suspended.
    pub suspended_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Project {
    /// Whether it may be used, as far as its organization may.
    pub fn status(&self) -> TenantStatus {
        match (self.deleted_at, self.suspended_at) {
            (Some(_), _) => TenantStatus::Deleted,
            (None, Some(_)) => TenantStatus::Suspended,
            (None, None) => TenantStatus::Active,
        }
    }
}

/// A project to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject {
    /// Its id.
    pub id: ProjectId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Title,
    /// Origins whose pages may call with the project's keys.
    pub cors_origins: Vec<String>,
    /// When it is made.
    pub created_at: Timestamp,
}

/// What changes about a project; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectChange {
    /// What stands in addresses.
    pub name: Option<Handle>,
    /// What people read.
    pub title: Option<Title>,
    /// Origins whose pages may call with the project's keys.
    pub cors_origins: Option<Vec<String>>,
}

/// Projects, inside a transaction.
pub struct Projects<'t>(pub(crate) &'t mut PgConnection);

impl Projects<'_> {
    /// Adds a project. Fails by [`NAME_TAKEN`].
    pub async fn insert(&mut self, organization: OrganizationId, project: &NewProject) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO projects (project_id, organization_id, name, title, cors_origins, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)",
            project.id.as_uuid(),
            organization.as_uuid(),
            project.name.as_str(),
            project.title.as_str(),
            &project.cors_origins,
            project.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("projects", done.rows_affected())
    }

    /// The project, a deleted one too.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Option<Project>, Error> {
        sqlx::query_as!(
            ProjectRow,
            "SELECT project_id, organization_id, name, title, cors_origins, created_at, suspended_at, deleted_at
            FROM projects
            WHERE organization_id = $1 AND project_id = $2",
            organization.as_uuid(),
            project.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Project::try_from)
        .transpose()
    }

    /// The project, a deleted one too, held until the transaction ends: it is neither suspended nor deleted meanwhile.
    pub async fn hold(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
    ) -> Result<Option<Project>, Error> {
        sqlx::query_as!(
            ProjectRow,
            "SELECT project_id, organization_id, name, title, cors_origins, created_at, suspended_at, deleted_at
            FROM projects
            WHERE organization_id = $1 AND project_id = $2
            FOR SHARE",
            organization.as_uuid(),
            project.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Project::try_from)
        .transpose()
    }

    /// The projects of the organization; deleted ones are left out.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        page: &Page<ProjectId>,
    ) -> Result<List<Project>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            ProjectRow,
            "SELECT project_id, organization_id, name, title, cors_origins, created_at, suspended_at, deleted_at
            FROM projects
            WHERE organization_id = $4 AND deleted_at IS NULL",
            "project_id",
            organization.as_uuid(),
        )?;
        window.list(rows)
    }

    /// The projects of which `user` is a member; deleted ones are left out.
    pub async fn list_of_user(
        &mut self,
        organization: OrganizationId,
        user: UserId,
        page: &Page<ProjectId>,
    ) -> Result<List<Project>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            ProjectRow,
            "SELECT project_id, organization_id, name, title, cors_origins, created_at, suspended_at, deleted_at
            FROM projects
            WHERE organization_id = $4
                AND deleted_at IS NULL
                AND EXISTS (
                    SELECT FROM memberships
                    WHERE memberships.organization_id = projects.organization_id
                        AND memberships.project_id = projects.project_id
                        AND memberships.user_id = $5
                )",
            "project_id",
            organization.as_uuid(),
            user.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Changes the project. Answers whether it is there. Fails by [`NAME_TAKEN`].
    pub async fn update(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        change: &ProjectChange,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE projects
            SET name = COALESCE($3, name), title = COALESCE($4, title), cors_origins = COALESCE($5, cors_origins)
            WHERE organization_id = $1 AND project_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            project.as_uuid(),
            change.name.as_ref().map(Handle::as_str),
            change.title.as_ref().map(Title::as_str),
            change.cors_origins.as_deref(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("projects", done.rows_affected())
    }

    /// Suspends the project. Answers whether that changed anything.
    pub async fn suspend(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE projects
            SET suspended_at = $3
            WHERE organization_id = $1 AND project_id = $2 AND deleted_at IS NULL AND suspended_at IS NULL",
            organization.as_uuid(),
            project.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("projects", done.rows_affected())
    }

    /// Lifts the suspension. Answers whether that changed anything.
    pub async fn resume(&mut self, organization: OrganizationId, project: ProjectId) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE projects
            SET suspended_at = NULL
            WHERE organization_id = $1 AND project_id = $2 AND deleted_at IS NULL AND suspended_at IS NOT NULL",
            organization.as_uuid(),
            project.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("projects", done.rows_affected())
    }

    /// Deletes the project: its keys, service accounts, invitations, deployments and models with it. Its name is free, its
    /// row stays. Answers whether it was there.
    pub async fn delete(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE projects
            SET deleted_at = $3
            WHERE organization_id = $1 AND project_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            project.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        let there = at_most_one_row("projects", done.rows_affected())?;
        if there {
            contents::remove(&mut *self.0, organization, Some(project), now).await?;
        }
        Ok(there)
    }
}

struct ProjectRow {
    project_id: Uuid,
    organization_id: Uuid,
    name: String,
    title: String,
    cors_origins: Vec<String>,
    created_at: Timestamp,
    suspended_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
}

impl TryFrom<ProjectRow> for Project {
    type Error = Error;

    fn try_from(stored: ProjectRow) -> Result<Self, Error> {
        let row = Row::new("projects", stored.project_id);
        Ok(Self {
            id: ProjectId::from_uuid(stored.project_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            name: row.parse("name", &stored.name)?,
            title: row.parse("title", &stored.title)?,
            cors_origins: stored.cors_origins,
            created_at: stored.created_at,
            suspended_at: stored.suspended_at,
            deleted_at: stored.deleted_at,
        })
    }
}
