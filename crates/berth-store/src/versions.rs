//! Versions of a model: immutable, but for what a proof finds out, which is written across organizations
//! ([`crate::system::versions`]).

use berth_domain::clock::Timestamp;
use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_domain::id::{ModelId, OrganizationId, VersionId};
use berth_domain::manifest::Manifest;
use berth_domain::model::{ModelFile, VersionState};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row, rows};
use crate::page::{List, Page, Window, fetch_window};
use crate::row::{Row, creator_columns};

/// A file's bytes were never announced by [`crate::blobs::Blobs::touch`], or the sweep has them.
pub const NO_SUCH_BLOB: &str = "version_files_organization_id_digest_fkey";

/// A version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its id.
    pub id: VersionId,
    /// The organization.
    pub organization: OrganizationId,
    /// The model.
    pub model: ModelId,
    /// Its number, from 1, within the model.
    pub number: u32,
    /// The digest of its whole folder.
    pub folder_digest: Sha256,
    /// Where it stands.
    pub state: VersionState,
    /// Why it failed, in words; there exactly if it did.
    pub reason: Option<String>,
    /// What is odd about it, in words.
    pub warnings: Vec<String>,
    /// What it is.
    pub manifest: Manifest,
    /// What the gate read in its graphs.
    pub graphs: serde_json::Value,
    /// Bytes of all files.
    pub size_bytes: u64,
    /// What the proof measured; there exactly if it is ready.
    pub measured: Option<Measured>,
    /// Who made it.
    pub created_by: Creator,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the proof ended.
    pub checked_at: Option<Timestamp>,
}

/// What a proof measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of memory that its runner took for it.
    pub resident_bytes: u64,
    /// Microseconds until it was loaded.
    pub load_us: u64,
    /// Microseconds of one run.
    pub run_us: u64,
}

/// A version to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVersion {
    /// Its id.
    pub id: VersionId,
    /// The model.
    pub model: ModelId,
    /// The digest of its whole folder.
    pub folder_digest: Sha256,
    /// What is odd about it, in words.
    pub warnings: Vec<String>,
    /// What it is.
    pub manifest: Manifest,
    /// What the gate read in its graphs.
    pub graphs: serde_json::Value,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// Who makes it.
    pub created_by: Creator,
    /// When it is made.
    pub created_at: Timestamp,
}

/// Versions, inside a transaction.
pub struct Versions<'t>(pub(crate) &'t mut PgConnection);

impl Versions<'_> {
    /// Adds a version in the state `checking` under the model's next number, which is the answer; `None` if there is no such
    /// model. The bytes of its files must be stored. Fails by [`NO_SUCH_BLOB`].
    pub async fn insert(
        &mut self,
        organization: OrganizationId,
        version: &NewVersion,
    ) -> Result<Option<u32>, Error> {
        let row = Row::new("model_versions", version.id);
        // Counting locks the model, so that two uploads get two numbers.
        let counted = sqlx::query_scalar!(
            "UPDATE models
            SET last_number = last_number + 1
            WHERE organization_id = $1 AND model_id = $2 AND deleted_at IS NULL
            RETURNING last_number",
            organization.as_uuid(),
            version.model.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(number) = counted else {
            return Ok(None);
        };
        let size_bytes: u64 = version.files.iter().map(|file| file.size_bytes).sum();
        let size_bytes: i64 = row.number("size_bytes", size_bytes)?;
        let manifest =
            serde_json::to_value(&version.manifest).map_err(|error| row.inconsistent("manifest", error))?;
        let (by_user, by_key) = creator_columns(version.created_by);
        let done = sqlx::query!(
            "INSERT INTO model_versions (version_id, organization_id, model_id, number, folder_digest, state, warnings,
                manifest, graphs, size_bytes, created_by_user_id, created_by_key_id, created_at, announced_at)
            VALUES ($1, $2, $3, $4, $5, 'checking', $6, $7, $8, $9, $10, $11, $12, $12)",
            version.id.as_uuid(),
            organization.as_uuid(),
            version.model.as_uuid(),
            number,
            version.folder_digest.as_bytes(),
            &version.warnings,
            manifest,
            version.graphs,
            size_bytes,
            by_user,
            by_key,
            version.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("model_versions", done.rows_affected())?;
        self.insert_files(organization, version.id, &version.files)
            .await?;
        row.number("number", number).map(Some)
    }

    async fn insert_files(
        &mut self,
        organization: OrganizationId,
        version: VersionId,
        files: &[ModelFile],
    ) -> Result<(), Error> {
        let row = Row::new("version_files", version);
        let paths: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        let digests: Vec<Vec<u8>> = files.iter().map(|file| file.digest.as_bytes().to_vec()).collect();
        let sizes = files
            .iter()
            .map(|file| row.number("size_bytes", file.size_bytes))
            .collect::<Result<Vec<i64>, Error>>()?;
        let done = sqlx::query!(
            "INSERT INTO version_files (version_id, organization_id, path, digest, size_bytes)
            SELECT $1, $2, file.path, file.digest, file.size_bytes
            FROM UNNEST($3::text[], $4::bytea[], $5::bigint[]) AS file (path, digest, size_bytes)",
            version.as_uuid(),
            organization.as_uuid(),
            &paths,
            &digests,
            &sizes,
        )
        .execute(&mut *self.0)
        .await?;
        rows("version_files", files.len(), done.rows_affected())
    }

    /// The version; a deleted one is not found.
    pub async fn show(
        &mut self,
        organization: OrganizationId,
        version: VersionId,
    ) -> Result<Option<Version>, Error> {
        sqlx::query_as!(
            VersionRow,
            "SELECT version_id, organization_id, model_id, number, folder_digest, state, reason, warnings, manifest,
                graphs, size_bytes, resident_bytes, load_us, run_us, created_by_user_id, created_by_key_id, created_at,
                checked_at
            FROM model_versions
            WHERE organization_id = $1 AND version_id = $2 AND deleted_at IS NULL",
            organization.as_uuid(),
            version.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Version::try_from)
        .transpose()
    }

    /// The model's version of this number.
    pub async fn find(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
        number: u32,
    ) -> Result<Option<Version>, Error> {
        // A number beyond the column's type is no version's.
        let Ok(number) = i32::try_from(number) else {
            return Ok(None);
        };
        sqlx::query_as!(
            VersionRow,
            "SELECT version_id, organization_id, model_id, number, folder_digest, state, reason, warnings, manifest,
                graphs, size_bytes, resident_bytes, load_us, run_us, created_by_user_id, created_by_key_id, created_at,
                checked_at
            FROM model_versions
            WHERE organization_id = $1 AND model_id = $2 AND number = $3 AND deleted_at IS NULL",
            organization.as_uuid(),
            model.as_uuid(),
            number,
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Version::try_from)
        .transpose()
    }

    /// The newest version of the model with these very files, so that the same upload twice need not be two versions.
    pub async fn find_by_digest(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
        folder_digest: &Sha256,
    ) -> Result<Option<Version>, Error> {
        sqlx::query_as!(
            VersionRow,
            "SELECT version_id, organization_id, model_id, number, folder_digest, state, reason, warnings, manifest,
                graphs, size_bytes, resident_bytes, load_us, run_us, created_by_user_id, created_by_key_id, created_at,
                checked_at
            FROM model_versions
            WHERE organization_id = $1 AND model_id = $2 AND folder_digest = $3 AND deleted_at IS NULL
            ORDER BY number DESC
            LIMIT 1",
            organization.as_uuid(),
            model.as_uuid(),
            folder_digest.as_bytes(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Version::try_from)
        .transpose()
    }

    /// The versions of the model.
    pub async fn list(
        &mut self,
        organization: OrganizationId,
        model: ModelId,
        page: &Page<VersionId>,
    ) -> Result<List<Version>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            VersionRow,
            "SELECT version_id, organization_id, model_id, number, folder_digest, state, reason, warnings, manifest,
                graphs, size_bytes, resident_bytes, load_us, run_us, created_by_user_id, created_by_key_id, created_at,
                checked_at
            FROM model_versions
            WHERE organization_id = $4 AND model_id = $5 AND deleted_at IS NULL",
            "version_id",
            organization.as_uuid(),
            model.as_uuid(),
        )?;
        window.list(rows)
    }

    /// Those of these versions that are there, held until the transaction ends: none of them is deleted meanwhile. A
    /// deployment of versions begins with this.
    pub async fn hold(
        &mut self,
        organization: OrganizationId,
        versions: &[VersionId],
    ) -> Result<Vec<Version>, Error> {
        let wanted: Vec<Uuid> = versions.iter().map(|version| version.as_uuid()).collect();
        let rows = sqlx::query_as!(
            VersionRow,
            "SELECT version_id, organization_id, model_id, number, folder_digest, state, reason, warnings, manifest,
                graphs, size_bytes, resident_bytes, load_us, run_us, created_by_user_id, created_by_key_id, created_at,
                checked_at
            FROM model_versions
            WHERE organization_id = $1 AND version_id = ANY($2) AND deleted_at IS NULL
            ORDER BY version_id
            FOR SHARE",
            organization.as_uuid(),
            &wanted,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(Version::try_from).collect()
    }

    /// The files of the version, in order of path.
    pub async fn files(
        &mut self,
        organization: OrganizationId,
        version: VersionId,
    ) -> Result<Vec<ModelFile>, Error> {
        let rows = sqlx::query_as!(
            FileRow,
            "SELECT version_id, path, digest, size_bytes
            FROM version_files
            WHERE organization_id = $1 AND version_id = $2
            ORDER BY path",
            organization.as_uuid(),
            version.as_uuid(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(ModelFile::try_from).collect()
    }

    /// Marks the version as deleted and lets go of its files. Its number is not given again.
    pub async fn delete(
        &mut self,
        organization: OrganizationId,
        version: VersionId,
        now: Timestamp,
    ) -> Result<Deletion, Error> {
        let found = sqlx::query_scalar!(
            "SELECT version_id
            FROM model_versions
            WHERE organization_id = $1 AND version_id = $2 AND deleted_at IS NULL
            FOR UPDATE",
            organization.as_uuid(),
            version.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        if found.is_none() {
            return Ok(Deletion::NotFound);
        }
        // After the lock: whoever held the version for a deployment has committed it.
        let deployed = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                SELECT FROM deployment_versions
                WHERE organization_id = $1 AND version_id = $2
            ) AS "deployed!""#,
            organization.as_uuid(),
            version.as_uuid(),
        )
        .fetch_one(&mut *self.0)
        .await?;
        if deployed {
            return Ok(Deletion::Deployed);
        }
        sqlx::query!(
            "DELETE FROM version_files
            WHERE organization_id = $1 AND version_id = $2",
            organization.as_uuid(),
            version.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        let done = sqlx::query!(
            "UPDATE model_versions
            SET deleted_at = $3
            WHERE organization_id = $1 AND version_id = $2",
            organization.as_uuid(),
            version.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("model_versions", done.rows_affected()).map(|_| Deletion::Deleted)
    }
}

/// What became of a version that should be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted.
    Deleted,
    /// A deployment serves it: nothing was changed.
    Deployed,
    /// There is no such version.
    NotFound,
}

pub(crate) struct VersionRow {
    pub(crate) version_id: Uuid,
    pub(crate) organization_id: Uuid,
    pub(crate) model_id: Uuid,
    pub(crate) number: i32,
    pub(crate) folder_digest: Vec<u8>,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) manifest: serde_json::Value,
    pub(crate) graphs: serde_json::Value,
    pub(crate) size_bytes: i64,
    pub(crate) resident_bytes: Option<i64>,
    pub(crate) load_us: Option<i64>,
    pub(crate) run_us: Option<i64>,
    pub(crate) created_by_user_id: Option<Uuid>,
    pub(crate) created_by_key_id: Option<Uuid>,
    pub(crate) created_at: Timestamp,
    pub(crate) checked_at: Option<Timestamp>,
}

impl TryFrom<VersionRow> for Version {
    type Error = Error;

    fn try_from(stored: VersionRow) -> Result<Self, Error> {
        let row = Row::new("model_versions", stored.version_id);
        Ok(Self {
            id: VersionId::from_uuid(stored.version_id),
            organization: OrganizationId::from_uuid(stored.organization_id),
            model: ModelId::from_uuid(stored.model_id),
            number: row.number("number", stored.number)?,
            folder_digest: row.digest("folder_digest", &stored.folder_digest)?,
            state: row.parse("state", &stored.state)?,
            reason: stored.reason,
            warnings: stored.warnings,
            manifest: row.json("manifest", stored.manifest)?,
            graphs: stored.graphs,
            size_bytes: row.number("size_bytes", stored.size_bytes)?,
            measured: measured(&row, stored.resident_bytes, stored.load_us, stored.run_us)?,
            created_by: row.creator(stored.created_by_user_id, stored.created_by_key_id)?,
            created_at: stored.created_at,
            checked_at: stored.checked_at,
        })
    }
}

/// The measurement in three columns, which are there together or not at all.
pub(crate) fn measured(
    row: &Row,
    resident_bytes: Option<i64>,
    load_us: Option<i64>,
    run_us: Option<i64>,
) -> Result<Option<Measured>, Error> {
    let (Some(resident_bytes), Some(load_us), Some(run_us)) = (resident_bytes, load_us, run_us) else {
        return Ok(None);
    };
    Ok(Some(Measured {
        resident_bytes: row.number("resident_bytes", resident_bytes)?,
        load_us: row.number("load_us", load_us)?,
        run_us: row.number("run_us", run_us)?,
    }))
}

pub(crate) struct FileRow {
    pub(crate) version_id: Uuid,
    pub(crate) path: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) size_bytes: i64,
}

impl TryFrom<FileRow> for ModelFile {
    type Error = Error;

    fn try_from(stored: FileRow) -> Result<Self, Error> {
        let row = Row::new("version_files", stored.version_id);
        Ok(Self {
            digest: row.digest("digest", &stored.digest)?,
            size_bytes: row.number("size_bytes", stored.size_bytes)?,
            path: stored.path,
        })
    }
}
