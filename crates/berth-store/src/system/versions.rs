//! Versions and their proofs.

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, VersionId, WorkerId};
use berth_domain::model::ModelFile;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, rows};
use crate::row::Row;
use crate::versions::{FileRow, Measured, Version, VersionRow};

/// What a proof found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Ready {
        /// What was measured.
        measured: Measured,
        /// What is odd, in words; added to what the gate found odd.
        warnings: Vec<String>,
    },
    /// It does not.
    Failed {
        /// Why, in words.
        reason: String,
        /// What is odd, in words; added to what the gate found odd.
        warnings: Vec<String>,
    },
}

/// A try to prove a version that ended without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FruitlessProof {
    /// Who tried.
    pub worker: WorkerId,
    /// How it ended.
    pub end: NoVerdict,
}

/// How a try to prove a version ended without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoVerdict {
    /// The worker cannot have the files: its artifact store has not got them, or they do not fit into its cache.
    Unfetched,
    /// The worker ended in the middle, or the connection to it broke.
    Interrupted,
    /// The worker said that it did not come to an end in time.
    Late,
    /// The worker said nothing, long after it should have.
    Silent,
    /// The worker answered with an error of another kind.
    Refused,
    /// A newer release wrote down what this one does not know.
    #[serde(other)]
    Unknown,
}

/// A version that waits for its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unchecked {
    /// The organization.
    pub organization: OrganizationId,
    /// The version.
    pub version: VersionId,
}

/// Every version, inside a transaction.
pub struct Versions<'t>(pub(crate) &'t mut PgConnection);

impl Versions<'_> {
    /// The version; a deleted one is not found.
    pub async fn show(&mut self, version: VersionId) -> Result<Option<Version>, Error> {
        sqlx::query_as!(
            VersionRow,
            "SELECT version_id, organization_id, model_id, number, folder_digest, state, reason, warnings, manifest,
                graphs, size_bytes, resident_bytes, load_us, run_us, created_by_user_id, created_by_key_id, created_at,
                checked_at
            FROM model_versions
            WHERE version_id = $1 AND deleted_at IS NULL",
            version.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Version::try_from)
        .transpose()
    }

    /// The files of the version, in order of path.
    pub async fn files(&mut self, version: VersionId) -> Result<Vec<ModelFile>, Error> {
        let rows = sqlx::query_as!(
            FileRow,
            "SELECT version_id, path, digest, size_bytes
            FROM version_files
            WHERE version_id = $1
            ORDER BY path",
            version.as_uuid(),
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter().map(ModelFile::try_from).collect()
    }

    /// Writes down what the proof of a version found. Answers whether it was waiting for that: a proof that was made twice
    /// counts once.
    pub async fn conclude(
        &mut self,
        version: VersionId,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = match outcome {
            Outcome::Ready { measured, warnings } => {
                let row = Row::new("model_versions", version);
                let resident_bytes: i64 = row.number("resident_bytes", measured.resident_bytes)?;
                let load_us: i64 = row.number("load_us", measured.load_us)?;
                let run_us: i64 = row.number("run_us", measured.run_us)?;
                sqlx::query!(
                    "UPDATE model_versions
                    SET state = 'ready',
                        resident_bytes = $2,
                        load_us = $3,
                        run_us = $4,
                        warnings = warnings || $5::text[],
                        checked_at = $6
                    WHERE version_id = $1 AND state = 'checking' AND deleted_at IS NULL",
                    version.as_uuid(),
                    resident_bytes,
                    load_us,
                    run_us,
                    warnings,
                    now,
                )
                .execute(&mut *self.0)
                .await?
            }
            Outcome::Failed { reason, warnings } => {
                sqlx::query!(
                    "UPDATE model_versions
                    SET state = 'failed',
                        reason = $2,
                        warnings = warnings || $3::text[],
                        checked_at = $4
                    WHERE version_id = $1 AND state = 'checking' AND deleted_at IS NULL",
                    version.as_uuid(),
                    reason,
                    warnings,
                    now,
                )
                .execute(&mut *self.0)
                .await?
            }
        };
        at_most_one_row("model_versions", done.rows_affected())
    }

    /// The tries to prove the version that ended without a verdict, in order; none if there is no such version.
    pub async fn fruitless_proofs(&mut self, version: VersionId) -> Result<Vec<FruitlessProof>, Error> {
        let stored = sqlx::query_scalar!(
            "SELECT fruitless_proofs
            FROM model_versions
            WHERE version_id = $1",
            version.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        stored.map_or_else(|| Ok(Vec::new()), |stored| fruitless(version, stored))
    }

    /// Writes down one more of them; answers with all. `None` if the version waits for no proof any more.
    pub async fn note_fruitless_proof(
        &mut self,
        version: VersionId,
        proof: FruitlessProof,
    ) -> Result<Option<Vec<FruitlessProof>>, Error> {
        let added = serde_json::to_value([proof])
            .map_err(|error| Row::new("model_versions", version).inconsistent("fruitless_proofs", error))?;
        let stored = sqlx::query_scalar!(
            "UPDATE model_versions
            SET fruitless_proofs = fruitless_proofs || $2
            WHERE version_id = $1 AND state = 'checking' AND deleted_at IS NULL
            RETURNING fruitless_proofs",
            version.as_uuid(),
            added,
        )
        .fetch_optional(&mut *self.0)
        .await?;
        stored.map(|stored| fruitless(version, stored)).transpose()
    }

    /// Versions that still wait although their check was queued before `announced_before`, the longest waiting first: their
    /// message may be lost. They stay locked; another process gets others.
    pub async fn stuck_checking(
        &mut self,
        announced_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<Unchecked>, Error> {
        let rows = sqlx::query!(
            "SELECT organization_id, version_id
            FROM model_versions
            WHERE state = 'checking' AND deleted_at IS NULL AND announced_at < $1
            ORDER BY announced_at
            LIMIT $2
            FOR NO KEY UPDATE SKIP LOCKED",
            announced_before,
            i64::from(limit),
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows
            .into_iter()
            .map(|stored| Unchecked {
                organization: OrganizationId::from_uuid(stored.organization_id),
                version: VersionId::from_uuid(stored.version_id),
            })
            .collect())
    }

    /// Notes that the checks of these versions have been queued again.
    pub async fn announced(&mut self, versions: &[VersionId], now: Timestamp) -> Result<(), Error> {
        let ids: Vec<Uuid> = versions.iter().map(|version| version.as_uuid()).collect();
        let done = sqlx::query!(
            "UPDATE model_versions
            SET announced_at = $2
            WHERE version_id = ANY($1)",
            &ids,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        rows("model_versions", ids.len(), done.rows_affected())
    }
}

fn fruitless(version: VersionId, stored: serde_json::Value) -> Result<Vec<FruitlessProof>, Error> {
    Row::new("model_versions", version).json("fruitless_proofs", stored)
}
