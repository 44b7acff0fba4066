//! Versions of a model.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod upload;

use berth_domain::digest::Sha256;
use berth_domain::id::{ModelId, VersionId};
use berth_domain::manifest::Manifest;
use berth_domain::model::{ModelFile, VersionState};
use berth_store::versions::Measured;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::list::Item;

/// A version of a model: immutable, but for what its check finds out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// Its id.
    version_id: VersionId,
    /// The model.
    model_id: ModelId,
    /// Its number within the model, from 1.
    number: u32,
    /// Where it stands between upload and use.
    state: VersionState,
    /// Why it failed, in words; null unless it did.
    #[schema(required)]
    reason: Option<String>,
    /// What is odd about it, in words.
    warnings: Vec<String>,
    /// The digest of its whole folder.
    digest: Sha256,
    /// Bytes of all its files.
    size_bytes: u64,
    /// What it is.
    manifest: Manifest,
    /// What its check measured; null unless it is ready.
    #[schema(required)]
    measured: Option<Measurement>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When its check ended; null before that.
    #[schema(required)]
    checked_at: Option<DateTime<Utc>>,
}

/// What the check of a version measured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Measurement {
    /// Bytes of memory that its runner took for it.
    resident_bytes: u64,
    /// Microseconds until it was loaded.
    load_us: u64,
    /// Microseconds of one run.
    run_us: u64,
}

impl From<Measured> for Measurement {
    fn from(measured: Measured) -> Self {
        Self {
            resident_bytes: measured.resident_bytes,
            load_us: measured.load_us,
            run_us: measured.run_us,
        }
    }
}

/// A version with its files.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionWithFiles {
    /// The version.
    #[serde(flatten)]
    version: Version,
    /// Its files.
    files: Vec<ModelFile>,
}

impl VersionWithFiles {
    fn new(version: berth_store::versions::Version, files: Vec<ModelFile>) -> Self {
        Self {
            version: version.into(),
            files,
        }
    }
}

impl From<berth_store::versions::Version> for Version {
    fn from(version: berth_store::versions::Version) -> Self {
        Self {
            version_id: version.id,
            model_id: version.model,
            number: version.number,
            state: version.state,
            reason: version.reason,
            warnings: version.warnings,
            digest: version.folder_digest,
            size_bytes: version.size_bytes,
            manifest: version.manifest,
            measured: version.measured.map(Measurement::from),
            created_at: version.created_at,
            checked_at: version.checked_at,
        }
    }
}

impl Item for Version {
    fn id(&self) -> String {
        self.version_id.to_string()
    }
}
