//! What the planner places on workers: every version that a deployment wants to be run.

use std::collections::{BTreeMap, HashMap};

use berth_domain::clock::Timestamp;
use berth_domain::deployment::Settings;
use berth_domain::id::{DeploymentId, OrganizationId, ProjectId, VersionId};
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::deployments::load_times;
use crate::error::Error;
use crate::row::Row;
use crate::versions::{FileRow, Measured, measured};

/// Everything that should be run.
#[derive(Debug, Default)]
pub struct Wanting {
    /// The versions, in order.
    pub versions: Vec<WantedVersion>,
    /// What cannot be read, and so is not among them: a row that is wrong must not stop everything else.
    pub unreadable: Vec<Unreadable>,
}

/// A version that a deployment wants to be run, and why that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// The organization.
    pub organization: OrganizationId,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The version.
    pub version: VersionId,
    /// Names the table, the column and the row.
    pub error: Error,
}

/// A version that should be run.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedVersion {
    /// The organization.
    pub organization: OrganizationId,
    /// The version.
    pub version: VersionId,
    /// What it is.
    pub manifest: Manifest,
    /// Its files, in order of path.
    pub files: Vec<ModelFile>,
    /// What its proof measured.
    pub measured: Measured,
    /// The deployments that want it.
    pub wanted_by: Vec<Wish>,
    /// It crashed again and again, and is to be loaded nowhere.
    pub quarantined: bool,
    /// How long it took to load, in milliseconds, by kind of node.
    pub load_times: BTreeMap<String, u64>,
}

/// A deployment that wants a version to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// The version's share of its traffic, against the weights of the others.
    pub weight: u32,
    /// How it wants to be run.
    pub settings: Settings,
    /// The version was behind it before, and answers until the others do.
    pub retiring: bool,
}

/// What serving has shown of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadTime {
    /// The organization.
    pub organization: OrganizationId,
    /// The version.
    pub version: VersionId,
    /// The kind of node.
    pub node_kind: String,
    /// How long loading took, in milliseconds.
    pub load_ms: u64,
    /// Memory that it took.
    pub resident_bytes: u64,
}

/// What is to be placed, inside a transaction.
pub struct Placements<'t>(pub(crate) &'t mut PgConnection);

impl Placements<'_> {
    /// Every version that should be run, in order of version: it is ready, and a deployment that is not stopped wants it,
    /// whose project and organization are neither suspended nor deleted. A row that holds something impossible is told apart.
    pub async fn wanted(&mut self) -> Result<Wanting, Error> {
        let rows = sqlx::query_as!(
            WantedRow,
            r#"SELECT
                model_versions.organization_id,
                model_versions.version_id,
                manifest,
                resident_bytes,
                load_us,
                run_us,
                deployments.deployment_id,
                deployments.project_id,
                weight,
                settings,
                retiring_since,
                version_quarantines.version_id IS NOT NULL AS "quarantined!",
                (
                    SELECT jsonb_object_agg(node_kind, load_ms)
                    FROM version_load_times
                    WHERE version_load_times.version_id = model_versions.version_id
                ) AS load_times
            FROM deployments
            JOIN deployment_versions USING (deployment_id)
            JOIN model_versions USING (version_id)
            JOIN projects ON projects.project_id = deployments.project_id
            JOIN organizations ON organizations.organization_id = deployments.organization_id
            LEFT JOIN version_quarantines ON version_quarantines.version_id = model_versions.version_id
            WHERE deployments.deleted_at IS NULL
                AND deployments.stopped_at IS NULL
                AND projects.suspended_at IS NULL
                AND projects.deleted_at IS NULL
                AND organizations.suspended_at IS NULL
                AND organizations.deleted_at IS NULL
                AND model_versions.state = 'ready'
                AND model_versions.deleted_at IS NULL
            ORDER BY model_versions.version_id, deployments.deployment_id"#,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let mut wanting = Wanting::default();
        for stored in rows {
            let (organization, deployment, version) = stored.ids();
            if let Err(error) = stored.add_to(&mut wanting.versions) {
                wanting.unreadable.push(Unreadable {
                    organization,
                    deployment,
                    version,
                    error,
                });
            }
        }
        self.add_files(&mut wanting).await?;
        Ok(wanting)
    }

    /// Ends the change of a deployment from these versions to others. Answers whether there was one.
    pub async fn retire(&mut self, deployment: DeploymentId, versions: &[VersionId]) -> Result<bool, Error> {
        let versions: Vec<Uuid> = versions.iter().map(|version| version.as_uuid()).collect();
        let done = sqlx::query!(
            "DELETE FROM deployment_versions
            WHERE deployment_id = $1 AND version_id = ANY($2) AND retiring_since IS NOT NULL",
            deployment.as_uuid(),
            &versions,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Has a version loaded nowhere, until its deployment is changed or it is released. Answers whether it was not so already.
    pub async fn quarantine(
        &mut self,
        organization: OrganizationId,
        version: VersionId,
        reason: &str,
        crashes: u32,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let row = Row::new("version_quarantines", version);
        let done = sqlx::query!(
            "INSERT INTO version_quarantines (version_id, organization_id, reason, crashes, quarantined_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (version_id) DO NOTHING",
            version.as_uuid(),
            organization.as_uuid(),
            reason,
            row.number::<u32, i32>("crashes", crashes)?,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes down how long a version took to load on a kind of node.
    pub async fn measured(&mut self, time: &LoadTime, now: Timestamp) -> Result<(), Error> {
        let row = Row::new("version_load_times", time.version);
        sqlx::query!(
            "INSERT INTO version_load_times
                (version_id, node_kind, organization_id, load_ms, resident_bytes, measured_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (version_id, node_kind) DO UPDATE
            SET load_ms = excluded.load_ms,
                resident_bytes = excluded.resident_bytes,
                measured_at = excluded.measured_at",
            time.version.as_uuid(),
            time.node_kind,
            time.organization.as_uuid(),
            row.number::<u64, i64>("load_ms", time.load_ms)?,
            row.number::<u64, i64>("resident_bytes", time.resident_bytes)?,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    async fn add_files(&mut self, wanting: &mut Wanting) -> Result<(), Error> {
        let ids: Vec<Uuid> = wanting
            .versions
            .iter()
            .map(|entry| entry.version.as_uuid())
            .collect();
        let rows = sqlx::query_as!(
            FileRow,
            "SELECT version_id, path, digest, size_bytes
            FROM version_files
            WHERE version_id = ANY($1)
            ORDER BY version_id, path",
            &ids,
        )
        .fetch_all(&mut *self.0)
        .await?;
        let mut by_version: HashMap<Uuid, Result<Vec<ModelFile>, Error>> = HashMap::new();
        for stored in rows {
            let files = by_version
                .entry(stored.version_id)
                .or_insert_with(|| Ok(Vec::new()));
            if let Ok(read) = files {
                match stored.try_into() {
                    Ok(file) => read.push(file),
                    Err(error) => *files = Err(error),
                }
            }
        }
        for mut entry in std::mem::take(&mut wanting.versions) {
            match by_version.remove(&entry.version.as_uuid()).transpose() {
                Ok(files) => {
                    entry.files = files.unwrap_or_default();
                    wanting.versions.push(entry);
                }
                // The first of its deployments stands for all.
                Err(error) => wanting
                    .unreadable
                    .extend(entry.wanted_by.first().map(|wish| Unreadable {
                        organization: entry.organization,
                        deployment: wish.deployment,
                        version: entry.version,
                        error,
                    })),
            }
        }
        Ok(())
    }
}

struct WantedRow {
    organization_id: Uuid,
    version_id: Uuid,
    manifest: serde_json::Value,
    resident_bytes: Option<i64>,
    load_us: Option<i64>,
    run_us: Option<i64>,
    deployment_id: Uuid,
    project_id: Uuid,
    weight: i32,
    settings: serde_json::Value,
    retiring_since: Option<Timestamp>,
    quarantined: bool,
    load_times: Option<serde_json::Value>,
}

/// A ready version without a measurement.
#[derive(Debug, thiserror::Error)]
#[error("a ready version has no measurement")]
struct Unmeasured;

impl WantedRow {
    fn ids(&self) -> (OrganizationId, DeploymentId, VersionId) {
        (
            OrganizationId::from_uuid(self.organization_id),
            DeploymentId::from_uuid(self.deployment_id),
            VersionId::from_uuid(self.version_id),
        )
    }

    /// Adds the row to its version, which is the last one if it is there: rows come in order of version.
    fn add_to(self, wanted: &mut Vec<WantedVersion>) -> Result<(), Error> {
        let row = Row::new("deployments", self.deployment_id);
        let wish = Wish {
            deployment: DeploymentId::from_uuid(self.deployment_id),
            project: ProjectId::from_uuid(self.project_id),
            weight: row.number("weight", self.weight)?,
            settings: row.json("settings", self.settings)?,
            retiring: self.retiring_since.is_some(),
        };
        let version = VersionId::from_uuid(self.version_id);
        if let Some(entry) = wanted.last_mut().filter(|entry| entry.version == version) {
            entry.wanted_by.push(wish);
            return Ok(());
        }
        let row = Row::new("model_versions", self.version_id);
        wanted.push(WantedVersion {
            organization: OrganizationId::from_uuid(self.organization_id),
            version,
            manifest: row.json("manifest", self.manifest)?,
            files: Vec::new(),
            measured: measured(&row, self.resident_bytes, self.load_us, self.run_us)?
                .ok_or_else(|| row.inconsistent("resident_bytes", Unmeasured))?,
            wanted_by: vec![wish],
            quarantined: self.quarantined,
            load_times: load_times(&row, self.load_times)?,
        });
        Ok(())
    }
}
