//! What a project can call: its own deployments, those of models that its organization shares, and those that an operator
//! has published.

use std::collections::BTreeMap;

use berth_domain::clock::Timestamp;
use berth_domain::digest::Sha256;
use berth_domain::id::{DeploymentId, ModelId, OrganizationId, ProjectId, VersionId};
use berth_domain::manifest::Manifest;
use berth_domain::model::Visibility;
use berth_domain::name::Handle;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::deployments::load_times;
use crate::error::Error;
use crate::row::Row;

/// A deployment that can be called.
#[derive(Debug, Clone, PartialEq)]
pub struct Callable {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The organization that runs it, which is another than the caller's if an operator has published it.
    pub organization: OrganizationId,
    /// What that organization is called.
    pub organization_name: Handle,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// The model.
    pub model: ModelId,
    /// What callers call it by.
    pub name: Handle,
    /// When it was made.
    pub created_at: Timestamp,
    /// By what right it can be called: it is the project's, the organization's or the platform's.
    pub reach: Visibility,
    /// The versions behind it that are ready, in order of number.
    pub versions: Vec<CallableVersion>,
    /// Those that were behind it before, and answer until the others do.
    pub retiring: Vec<CallableVersion>,
}

/// A version behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct CallableVersion {
    /// The version.
    pub version: VersionId,
    /// Its number.
    pub number: u32,
    /// Its share of the traffic, against the weights of the others; 0 is called by number alone.
    pub weight: u32,
    /// The digest of its whole folder.
    pub folder_digest: Sha256,
    /// What it is.
    pub manifest: Manifest,
    /// Why it is loaded nowhere: it crashed again and again.
    pub quarantine: Option<String>,
    /// How long it took to load when it was proved.
    pub load_us: Option<u64>,
    /// How long it took to load, in milliseconds, by kind of node.
    pub load_times: BTreeMap<String, u64>,
}

/// What can be called, inside a transaction.
pub struct Callables<'t>(pub(crate) &'t mut PgConnection);

impl Callables<'_> {
    /// What the project can call, under one name or all. The nearest come first: the project's own, then the organization's,
    /// then the platform's; of equals the oldest. Stopped deployments, those of suspended projects, and those without a
    /// ready version are left out.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        project: ProjectId,
        name: Option<&Handle>,
    ) -> Result<Vec<Callable>, Error> {
        let rows = sqlx::query_as!(
            CallableRow,
            r#"SELECT
                deployments.organization_id AS "organization_id!",
                organizations.name AS "organization_name!",
                deployments.project_id AS "project_id!",
                deployments.deployment_id AS "deployment_id!",
                deployments.name AS "name!",
                deployments.created_at AS "created_at!",
                deployments.model_id AS "model_id!",
                model_versions.version_id AS "version_id!",
                model_versions.number AS "number!",
                deployment_versions.weight AS "weight!",
                model_versions.folder_digest AS "folder_digest!",
                model_versions.manifest AS "manifest!",
                deployment_versions.retiring_since IS NOT NULL AS "retiring!",
                version_quarantines.reason AS "quarantine?",
                model_versions.load_us AS "load_us?",
                (
                    SELECT jsonb_object_agg(version_load_times.node_kind, version_load_times.load_ms)
                    FROM version_load_times
                    WHERE version_load_times.organization_id = $1
                        AND version_load_times.version_id = model_versions.version_id
                ) AS "load_times?",
                CASE WHEN deployments.project_id = $2 THEN 'project' ELSE 'organization' END AS "reach!",
                CASE WHEN deployments.project_id = $2 THEN 0 ELSE 1 END AS "distance!"
            FROM deployments
            JOIN models
                ON models.organization_id = $1 AND models.model_id = deployments.model_id
            JOIN organizations
                ON organizations.organization_id = $1
            JOIN projects
                ON projects.organization_id = $1 AND projects.project_id = deployments.project_id
            JOIN deployment_versions
                ON deployment_versions.organization_id = $1
                AND deployment_versions.deployment_id = deployments.deployment_id
            JOIN model_versions
                ON model_versions.organization_id = $1
                AND model_versions.version_id = deployment_versions.version_id
            LEFT JOIN version_quarantines
                ON version_quarantines.organization_id = $1
                AND version_quarantines.version_id = model_versions.version_id
            WHERE deployments.organization_id = $1
                AND deployments.deleted_at IS NULL
                AND deployments.stopped_at IS NULL
                AND ($3::text IS NULL OR deployments.name = $3)
                AND (deployments.project_id = $2 OR models.visibility = 'organization' OR models.published_at IS NOT NULL)
                AND projects.suspended_at IS NULL
                AND projects.deleted_at IS NULL
                AND model_versions.state = 'ready'
                AND model_versions.deleted_at IS NULL
            UNION ALL
            SELECT
                organization_id,
                organization_name,
                project_id,
                deployment_id,
                name,
                created_at,
                model_id,
                version_id,
                number,
                weight,
                folder_digest,
                manifest,
                retiring,
                quarantine,
                load_us,
                load_times,
                'platform',
                2
            FROM published_deployments($3)
            WHERE organization_id <> $1
            ORDER BY "distance!", "deployment_id!", "number!""#,
            organization.as_uuid(),
            project.as_uuid(),
            name.map(Handle::as_str),
        )
        .fetch_all(&mut *self.0)
        .await?;
        collect(rows)
    }
}

struct CallableRow {
    organization_id: Uuid,
    organization_name: String,
    project_id: Uuid,
    deployment_id: Uuid,
    name: String,
    created_at: Timestamp,
    model_id: Uuid,
    version_id: Uuid,
    number: i32,
    weight: i32,
    folder_digest: Vec<u8>,
    manifest: serde_json::Value,
    retiring: bool,
    quarantine: Option<String>,
    load_us: Option<i64>,
    load_times: Option<serde_json::Value>,
    reach: String,
    #[expect(dead_code, reason = "the statement sorts by it")]
    distance: i32,
}

/// Puts the versions of a deployment, which stand in rows next to each other, together.
fn collect(rows: Vec<CallableRow>) -> Result<Vec<Callable>, Error> {
    let mut callables: Vec<Callable> = Vec::new();
    for stored in rows {
        let row = Row::new("deployments", stored.deployment_id);
        let deployment = DeploymentId::from_uuid(stored.deployment_id);
        let version = CallableVersion {
            version: VersionId::from_uuid(stored.version_id),
            number: row.number("number", stored.number)?,
            weight: row.number("weight", stored.weight)?,
            folder_digest: row.digest("folder_digest", &stored.folder_digest)?,
            manifest: row.json("manifest", stored.manifest)?,
            quarantine: stored.quarantine,
            load_us: stored
                .load_us
                .map(|load_us| row.number("load_us", load_us))
                .transpose()?,
            load_times: load_times(&row, stored.load_times)?,
        };
        if callables
            .last()
            .is_none_or(|callable| callable.deployment != deployment)
        {
            callables.push(Callable {
                deployment,
                organization: OrganizationId::from_uuid(stored.organization_id),
                organization_name: row.parse("name", &stored.organization_name)?,
                project: ProjectId::from_uuid(stored.project_id),
                model: ModelId::from_uuid(stored.model_id),
                name: row.parse("name", &stored.name)?,
                created_at: stored.created_at,
                reach: row.parse("visibility", &stored.reach)?,
                versions: Vec::new(),
                retiring: Vec::new(),
            });
        }
        if let Some(callable) = callables.last_mut() {
            if stored.retiring {
                callable.retiring.push(version);
            } else {
                callable.versions.push(version);
            }
        }
    }
    Ok(callables)
}
