//! Models of a project.

use berth_domain::clock::Timestamp;
use berth_domain::creator::Creator;
use berth_domain::id::{ModelId, OrganizationId, ProjectId};
use berth_domain::model::Visibility;
use berth_domain::name::{Handle, Title};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::{Row, creator_columns};

/// The name is another model's of the project already.
pub const NAME_TAKEN: &str = "models_project_id_name_key";

/// A model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its id.
    pub id: ModelId,
    /// The organization.
    pub organization: OrganizationId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Option<Title>,
    /// What it is, in prose.
    pub description: String,
    /// Its licence, where it is known.
    pub license: Option<String>,
    /// Who can see and call it.
    pub visibility: Visibility,
    /// The number of the newest version ever made, 0 before the first.
    pub last_number: u32,
    /// Who made it.
    pub created_by: Creator,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who of an organization can see and call a model. Publishing to all is an operator's act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its project.
    Project,
    /// Every project of its organization.
    Organization,
}

impl Reach {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Project => Visibility::Project.as_str(),
            Self::Organization => Visibility::Organization.as_str(),
        }
    }
}

/// A model to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// Its id.
    pub id: ModelId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// What stands in addresses.
    pub name: Handle,
    /// What people read.
    pub title: Option<Title>,
    /// What it is, in prose.
    pub description: String,
    /// Its licence, where it is known.
    pub license: Option<String>,
    /// Who can see and call it.
    pub reach: Reach,
    /// Who makes it.
    pub created_by: Creator,
    /// When it is made.
    pub created_at: Timestamp,
}

/// What changes about a model; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelChange {
    /// What people read.
    pub title: Option<Title>,
    /// What it is, in prose.
    pub description: Option<String>,
    /// Its licence.
    pub license: Option<String>,
    /// Who can see and call it.
    pub reach: Option<Reach>,
}

/// Models, inside a transaction.
pub struct Models<'t>(pub(crate) &'t mut PgConnection);

impl Models<'_> {
    /// Adds a model. Fails by [`NAME_TAKEN`].
    pub async fn insert(&mut self, organization: OrganizationId, model: &NewModel) -> Result<(), Error> {
        let (by_user, by_key) = creator_columns(model.created_by);
        let done = sqlx::query!(
            "INSERT INTO models (model_id, organization_id, project_id, name, title, description, license, visibility,
                created_by_user_id, created_by_key_id, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            model.id.as_uuid(),
            organization.as_uuid(),
            model.project.as_uuid(),
            model.name.as_str(),
            model.title.as_ref().map(Title::as_str),
            model.description,
            model.license,
            model.reach.as_str(),
            by_user,
            by_key,
            model.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("models", done.rows_affected())
    }

    /// The model; a deleted one is not found.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
    ) -> Result<Option<Model>, Error> {
        sqlx::query_as!(
            ModelRow,
            r#"SELECT model_id, organization_id, project_id, name, title, description, license, visibility,
                published_at IS NOT NULL AS "published!", last_number, created_by_user_id, created_by_key_id, created_at
            FROM models
            WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL"#,
            organization.as_uuid(),
            model.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Model::try_from)
        .transpose()
    }

    /// The project's model of this name.
    pub async fn find(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        name: &Handle,
    ) -> Result<Option<Model>, Error> {
        sqlx::query_as!(
            ModelRow,
            r#"SELECT model_id, organization_id, project_id, name, title, description, license, visibility,
                published_at IS NOT NULL AS "published!", last_number, created_by_user_id, created_by_key_id, created_at
            FROM models
            WHERE organization_id = $1 AND project_id = $2 AND name = $3 AND deleted_at IS NULL"#,
            organization.as_uuid(),
            project.as_uuid(),
            name.as_str(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Model::try_from)
        .transpose()
    }

    /// The model, locked until the transaction ends, so that nothing is added to it while it is deleted.
    pub async fn lock(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
    ) -> Result<Option<Model>, Error> {
        sqlx::query_as!(
            ModelRow,
            r#"SELECT model_id, organization_id, project_id, name, title, description, license, visibility,
                published_at IS NOT NULL AS "published!", last_number, created_by_user_id, created_by_key_id, created_at
            FROM models
            WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL
            FOR NO KEY UPDATE"#,
            organization.as_uuid(),
            model.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Model::try_from)
        .transpose()
    }

    /// The models that belong to the project.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<ModelId>,
    ) -> Result<List<Model>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            ModelRow,
            r#"SELECT model_id, organization_id, project_id, name, title, description, license, visibility,
                published_at IS NOT NULL AS "published!", last_number, created_by_user_id, created_by_key_id, created_at
            FROM models
            WHERE organization_id = $4 AND project_id = $5 AND deleted_at IS NULL"#,
            "model_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        window.list(rows)
    }

    /// The models of the organization that the project can see: its own, and those that others of its projects share, unless
    /// those are deleted.
    pub async fn list_visible(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<ModelId>,
    ) -> Result<List<Model>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            ModelRow,
            r#"SELECT model_id, organization_id, project_id, name, title, description, license, visibility,
                published_at IS NOT NULL AS "published!", last_number, created_by_user_id, created_by_key_id, created_at
            FROM models
            WHERE organization_id = $4
                AND deleted_at IS NULL
                AND (project_id = $5 OR visibility = 'organization' OR published_at IS NOT NULL)
                AND EXISTS (
                    SELECT FROM projects
                    WHERE projects.organization_id = models.organization_id
                        AND projects.project_id = models.project_id
                        AND projects.deleted_at IS NULL
                )"#,
            "model_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Changes the model. Answers whether it is there.
    pub async fn update(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
        change: &ModelChange,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE models
            SET title = COALESCE($3, title),
                description = COALESCE($4, description),
                license = COALESCE($5, license),
                visibility = COALESCE($6, visibility)
            WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            model.as_uuid(),
            change.title.as_ref().map(Title::as_str),
            change.description,
            change.license,
            change.reach.map(Reach::as_str),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("models", done.rows_affected())
    }

    /// Whether a deployment of any project of the organization still refers to the model.
    pub async fn is_deployed(&mut self, organization: OrganizationId, model: ModelId) -> Result<bool, Error> {
        let deployed = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                SELECT FROM deployments
                WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL
            ) AS "deployed!""#,
            organization.as_uuid(),
            model.as_uuid(),
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(deployed)
    }

    /// Marks the model and its versions as deleted and lets go of their files; its name is free. Lock the model and see
    /// that it is not deployed first. Answers whether it was there.
    pub async fn delete(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        sqlx::query!(
            "DELETE FROM version_files
            USING model_versions
            WHERE version_files.organization_id = $1
                AND model_versions.organization_id = $1
                AND model_versions.model_id = $2
                AND model_versions.version_id = version_files.version_id",
            organization.as_uuid(),
            model.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        sqlx::query!(
            "UPDATE model_versions
            SET deleted_at = $3
            WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            model.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        let done = sqlx::query!(
            "UPDATE models
            SET deleted_at = $3
            WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            model.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("models", done.rows_affected())
    }
}

pub(crate) struct ModelRow {
    pub(crate) model_id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    pub(crate) license: Option<String>,
    pub(crate) visibility: String,
    pub(crate) published: bool,
    pub(crate) last_number: i32,
    pub(crate) created_by_user_id: Option<Uuid>,
    pub(crate) created_by_key_id: Option<Uuid>,
    pub(crate) created_at: Timestamp,
}

impl TryFrom<ModelRow> for Model {
    type Error = Error;

    fn try_from(stored: ModelRow) -> Result<Self, Error> {
        let row = Row::new("models", stored.model_id);
        let visibility = row.parse("visibility", &stored.visibility)?;
        Ok(Self {
            id: ModelId::from_uuid(stored.model_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: ProjectId::from_uuid(stored.project_id),
            name: row.parse("name", &stored.name)?,
            title: row.parse_optional("title", stored.title.as_deref())?,
            description: stored.description,
            license: stored.license,
            visibility: if stored.published {
                Visibility::Platform
            } else {
                visibility
            },
            last_number: row.number("last_number", stored.last_number)?,
            created_by: row.creator(stored.created_by_user_id, stored.created_by_key_id)?,
            created_at: stored.created_at,
        })
    }
}
