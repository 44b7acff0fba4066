//! Deployments: stable names for versions of one model.

use std::collections::{BTreeMap, HashMap};

use berth_domain::clock::Timestamp;
use berth_domain::creator::Creator;
use berth_domain::deployment::Settings;
use berth_domain::id::{DeploymentId, ModelId, OrganizationId, ProjectId, VersionId};
use berth_domain::name::Handle;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row, rows};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::{Row, creator_columns};

/// The name is another deployment's of the project already.
pub const NAME_TAKEN: &str = "deployments_project_id_name_key";

/// A version is not one of the deployment's model.
pub const NOT_OF_THE_MODEL: &str = "deployment_versions_version_id_fkey";

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The organization.
    pub organization: OrganizationId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// The model.
    pub model: ModelId,
    /// What the model is called.
    pub model_name: Handle,
    /// What callers call it by.
    pub name: Handle,
    /// How it wants to be run.
    pub settings: Settings,
    /// The versions behind it, in order of number.
    pub versions: Vec<DeployedVersion>,
    /// Versions that were behind it before and answer until those above do, in order of number.
    pub retiring: Vec<DeployedVersion>,
    /// Who made it.
    pub created_by: Creator,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Since when it serves nobody.
    pub stopped_at: Option<Timestamp>,
}

/// A version behind a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployedVersion {
    /// The version.
    pub version: VersionId,
    /// Its number.
    pub number: u32,
    /// Its share of the traffic, against the weights of the others.
    pub weight: u32,
    /// Why it is loaded nowhere: it crashed again and again.
    pub quarantine: Option<String>,
    /// How long it took to load when it was proved.
    pub load_us: Option<u64>,
    /// How long it took to load, in milliseconds, by kind of node.
    pub load_times: BTreeMap<String, u64>,
}

/// A version that is to stand behind a deployment, with its weight.
pub type WeightedVersion = (VersionId, u32);

/// A deployment to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeployment {
    /// Its id.
    pub id: DeploymentId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// The model.
    pub model: ModelId,
    /// What callers call it by.
    pub name: Handle,
    /// How it wants to be run.
    pub settings: Settings,
    /// The versions behind it.
    pub versions: Vec<WeightedVersion>,
    /// Who makes it.
    pub created_by: Creator,
    /// When it is made.
    pub created_at: Timestamp,
}

/// What changes about a deployment; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentChange {
    /// How it wants to be run.
    pub settings: Option<Settings>,
    /// The versions behind it.
    pub versions: Option<Vec<WeightedVersion>>,
    /// Whether it serves nobody.
    pub stopped: Option<bool>,
}

/// Deployments, inside a transaction.
pub struct Deployments<'t>(pub(crate) &'t mut PgConnection);

impl Deployments<'_> {
    /// Adds a deployment. Hold its versions first ([`crate::versions::Versions::hold`]). Fails by [`NAME_TAKEN`] and
    /// [`NOT_OF_THE_MODEL`].
    pub async fn insert(
        &mut self,
        organization: OrganizationId,
        deployment: &NewDeployment,
    ) -> Result<(), Error> {
        let settings = settings_column(deployment.id, &deployment.settings)?;
        let (by_user, by_key) = creator_columns(deployment.created_by);
        let done = sqlx::query!(
            "INSERT INTO deployments (deployment_id, organization_id, project_id, model_id, name, settings,
                created_by_user_id, created_by_key_id, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
            deployment.id.as_uuid(),
            organization.as_uuid(),
            deployment.project.as_uuid(),
            deployment.model.as_uuid(),
            deployment.name.as_str(),
            settings,
            by_user,
            by_key,
            deployment.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("deployments", done.rows_affected())?;
        self.insert_versions(organization, deployment.id, &deployment.versions)
            .await
    }

    /// The deployment; a deleted one is not found.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
    ) -> Result<Option<Deployment>, Error> {
        let found = sqlx::query_as!(
            DeploymentRow,
            "SELECT deployment_id, deployments.organization_id, deployments.project_id, model_id,
                models.name AS model_name, deployments.name, settings, deployments.created_by_user_id,
                deployments.created_by_key_id, deployments.created_at, updated_at, stopped_at
            FROM deployments
            JOIN models USING (model_id)
            WHERE deployments.organization_id = $1 AND deployment_id = $2 AND deployments.deleted_at IS NULL",
            organization.as_uuid(),
            deployment.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        self.complete(organization, found).await
    }

    /// The project's deployment of this name.
    pub async fn find(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        name: &Handle,
    ) -> Result<Option<Deployment>, Error> {
        let found = sqlx::query_as!(
            DeploymentRow,
            "SELECT deployment_id, deployments.organization_id, deployments.project_id, model_id,
                models.name AS model_name, deployments.name, settings, deployments.created_by_user_id,
                deployments.created_by_key_id, deployments.created_at, updated_at, stopped_at
            FROM deployments
            JOIN models USING (model_id)
            WHERE deployments.organization_id = $1
                AND deployments.project_id = $2
                AND deployments.name = $3
                AND deployments.deleted_at IS NULL",
            organization.as_uuid(),
            project.as_uuid(),
            name.as_str(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        self.complete(organization, found).await
    }

    /// The deployments of the project.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        page: &Page<DeploymentId>,
    ) -> Result<List<Deployment>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            DeploymentRow,
            "SELECT deployment_id, deployments.organization_id, deployments.project_id, model_id,
                models.name AS model_name, deployments.name, settings, deployments.created_by_user_id,
                deployments.created_by_key_id, deployments.created_at, updated_at, stopped_at
            FROM deployments
            JOIN models USING (model_id)
            WHERE deployments.organization_id = $4
                AND deployments.project_id = $5
                AND deployments.deleted_at IS NULL",
            "deployment_id",
            organization.as_uuid(),
            project.as_uuid(),
        )?;
        let mut list: List<Deployment> = window.list(rows)?;
        self.add_versions(organization, &mut list.items).await?;
        Ok(list)
    }

    /// Changes the deployment. Hold new versions first. Answers whether it is there. Fails by [`NOT_OF_THE_MODEL`].
    pub async fn update(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
        change: &DeploymentChange,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let settings = change
            .settings
            .as_ref()
            .map(|settings| settings_column(deployment, settings))
            .transpose()?;
        let done = sqlx::query!(
            "UPDATE deployments
            SET settings = COALESCE($3, settings),
                stopped_at = CASE
                    WHEN $4::boolean IS NULL THEN stopped_at
                    WHEN $4 THEN COALESCE(stopped_at, $5)
                END,
                updated_at = $5
            WHERE organization_id = $1 AND deployment_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            deployment.as_uuid(),
            settings,
            change.stopped,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        if !at_most_one_row("deployments", done.rows_affected())? {
            return Ok(false);
        }
        if let Some(versions) = &change.versions {
            let kept: Vec<Uuid> = versions.iter().map(|(version, _)| version.as_uuid()).collect();
            self.retire_versions(organization, deployment, &kept, now).await?;
            self.insert_versions(organization, deployment, versions).await?;
        }
        self.release(organization, deployment).await?;
        Ok(true)
    }

    /// Removes the deployment: its name is free, its versions can be deleted. Answers whether it was there.
    pub async fn delete(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE deployments
            SET deleted_at = $3, updated_at = $3
            WHERE organization_id = $1 AND deployment_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            deployment.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        if !at_most_one_row("deployments", done.rows_affected())? {
            return Ok(false);
        }
        self.remove_versions(organization, deployment).await?;
        Ok(true)
    }

    /// Lets the versions behind the deployment be loaded again that crashed again and again. Answers how many there were.
    pub async fn release(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
    ) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM version_quarantines
            USING deployment_versions
            WHERE version_quarantines.organization_id = $1
                AND deployment_versions.organization_id = $1
                AND deployment_versions.deployment_id = $2
                AND deployment_versions.version_id = version_quarantines.version_id",
            organization.as_uuid(),
            deployment.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Has the versions that are not among `kept` answer until the others do; with a deployment that serves nobody they go at
    /// once.
    async fn retire_versions(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
        kept: &[Uuid],
        now: Timestamp,
    ) -> Result<(), Error> {
        sqlx::query!(
            "DELETE FROM deployment_versions
            USING deployments
            WHERE deployment_versions.organization_id = $1
                AND deployment_versions.deployment_id = $2
                AND version_id <> ALL($3)
                AND deployments.organization_id = $1
                AND deployments.deployment_id = $2
                AND stopped_at IS NOT NULL",
            organization.as_uuid(),
            deployment.as_uuid(),
            kept,
        )
        .execute(&mut *self.0)
        .await?;
        sqlx::query!(
            "UPDATE deployment_versions
            SET weight = 0,
                retiring_since = COALESCE(retiring_since, $4)
            WHERE organization_id = $1 AND deployment_id = $2 AND version_id <> ALL($3)",
            organization.as_uuid(),
            deployment.as_uuid(),
            kept,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn insert_versions(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
        versions: &[WeightedVersion],
    ) -> Result<(), Error> {
        let row = Row::new("deployment_versions", deployment);
        let ids: Vec<Uuid> = versions.iter().map(|(version, _)| version.as_uuid()).collect();
        let weights = versions
            .iter()
            .map(|&(_, weight)| row.number("weight", weight))
            .collect::<Result<Vec<i32>, Error>>()?;
        let done = sqlx::query!(
            "INSERT INTO deployment_versions (deployment_id, version_id, organization_id, model_id, weight)
            SELECT deployment_id, entry.version_id, organization_id, model_id, entry.weight
            FROM deployments
            CROSS JOIN UNNEST($3::uuid[], $4::integer[]) AS entry (version_id, weight)
            WHERE organization_id = $1 AND deployment_id = $2
            ON CONFLICT (deployment_id, version_id) DO UPDATE
            SET weight = excluded.weight,
                retiring_since = NULL",
            organization.as_uuid(),
            deployment.as_uuid(),
            &ids,
            &weights,
        )
        .execute(&mut *self.0)
        .await?;
        rows("deployment_versions", versions.len(), done.rows_affected())
    }

    async fn remove_versions(
        &mut self,
        organization: OrganizationId,
        deployment: DeploymentId,
    ) -> Result<(), Error> {
        sqlx::query!(
            "DELETE FROM deployment_versions
            WHERE organization_id = $1 AND deployment_id = $2",
            organization.as_uuid(),
            deployment.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn complete(
        &mut self,
        organization: OrganizationId,
        found: Option<DeploymentRow>,
    ) -> Result<Option<Deployment>, Error> {
        let Some(stored) = found else {
            return Ok(None);
        };
        let mut deployments = [Deployment::try_from(stored)?];
        self.add_versions(organization, &mut deployments).await?;
        let [deployment] = deployments;
        Ok(Some(deployment))
    }

    async fn add_versions(
        &mut self,
        organization: OrganizationId,
        deployments: &mut [Deployment],
    ) -> Result<(), Error> {
        let ids: Vec<Uuid> = deployments
            .iter()
            .map(|deployment| deployment.id.as_uuid())
            .collect();
        let rows = sqlx::query!(
            r#"SELECT
                deployment_id,
                version_id,
                number,
                weight,
                retiring_since,
                version_quarantines.reason AS "quarantine?",
                load_us,
                (
                    SELECT jsonb_object_agg(node_kind, load_ms)
                    FROM version_load_times
                    WHERE version_load_times.organization_id = $1
                        AND version_load_times.version_id = deployment_versions.version_id
                ) AS load_times
            FROM deployment_versions
            JOIN model_versions USING (version_id)
            LEFT JOIN version_quarantines USING (version_id)
            WHERE deployment_versions.organization_id = $1 AND deployment_id = ANY($2)
            ORDER BY deployment_id, number"#,
            organization.as_uuid(),
            &ids,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let mut by_deployment: HashMap<(Uuid, bool), Vec<DeployedVersion>> = HashMap::new();
        for stored in rows {
            let row = Row::new("deployment_versions", stored.deployment_id);
            let load_us = stored.load_us.map(|load_us| row.number("load_us", load_us));
            by_deployment
                .entry((stored.deployment_id, stored.retiring_since.is_some()))
                .or_default()
                .push(DeployedVersion {
                    version: VersionId::from_uuid(stored.version_id),
                    number: row.number("number", stored.number)?,
                    weight: row.number("weight", stored.weight)?,
                    quarantine: stored.quarantine,
                    load_us: load_us.transpose()?,
                    load_times: load_times(&row, stored.load_times)?,
                });
        }
        for deployment in deployments {
            let id = deployment.id.as_uuid();
            deployment.versions = by_deployment.remove(&(id, false)).unwrap_or_default();
            deployment.retiring = by_deployment.remove(&(id, true)).unwrap_or_default();
        }
        Ok(())
    }
}

/// What was measured, by kind of node; nothing where nothing was.
pub(crate) fn load_times(
    row: &Row,
    column: Option<serde_json::Value>,
) -> Result<BTreeMap<String, u64>, Error> {
    column.map_or_else(|| Ok(BTreeMap::new()), |column| row.json("load_times", column))
}

fn settings_column(deployment: DeploymentId, settings: &Settings) -> Result<serde_json::Value, Error> {
    serde_json::to_value(settings)
        .map_err(|error| Row::new("deployments", deployment).inconsistent("settings", error))
}

struct DeploymentRow {
    deployment_id: Uuid,
    organization_id: Uuid,
    project_id: Uuid,
    model_id: Uuid,
    model_name: String,
    name: String,
    settings: serde_json::Value,
    created_by_user_id: Option<Uuid>,
    created_by_key_id: Option<Uuid>,
    created_at: Timestamp,
    updated_at: Timestamp,
    stopped_at: Option<Timestamp>,
}

impl TryFrom<DeploymentRow> for Deployment {
    type Error = Error;

    /// The deployment without its versions, which stand in rows of their own.
    fn try_from(stored: DeploymentRow) -> Result<Self, Error> {
        let row = Row::new("deployments", stored.deployment_id);
        Ok(Self {
            id: DeploymentId::from_uuid(stored.deployment_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            project: ProjectId::from_uuid(stored.project_id),
            model: ModelId::from_uuid(stored.model_id),
            model_name: row.parse("model_name", &stored.model_name)?,
            name: row.parse("name", &stored.name)?,
            settings: row.json("settings", stored.settings)?,
            versions: Vec::new(),
            retiring: Vec::new(),
            created_by: row.creator(stored.created_by_user_id, stored.created_by_key_id)?,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            stopped_at: stored.stopped_at,
        })
    }
}
