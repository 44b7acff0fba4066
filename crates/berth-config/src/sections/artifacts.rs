//! The files of models.

use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Process;
use crate::check::Check;
use crate::sections::Section;

/// Where the files of models are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Artifacts {
    /// Folder for model files. On several machines it must be a shared one; else use `s3`.
    #[schemars(example = "/var/lib/berth/artifacts")]
    pub folder: Option<PathBuf>,
    /// Folder for uploads that are not checked yet. It needs room for the largest upload twice, times those at once. On
    /// the same disk as `folder`, storing a file is a link instead of a copy. Without it, `.staging` inside `folder`, or
    /// `/var/tmp/berth` beside a bucket.
    #[schemars(example = "/var/lib/berth/staging")]
    pub staging_folder: Option<PathBuf>,
    /// A bucket that speaks S3.
    pub s3: Option<S3>,
}

impl Artifacts {
    /// The folder for uploads that are not checked yet.
    pub fn staging_folder(&self) -> PathBuf {
        let beside = || self.folder.as_ref().map(|folder| folder.join(".staging"));
        self.staging_folder
            .clone()
            .or_else(beside)
            .unwrap_or_else(|| PathBuf::from("/var/tmp/berth"))
    }
}

impl Section for Artifacts {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !matches!(
            check.process,
            Process::Api | Process::Tasks | Process::Dev | Process::Worker
        ) {
            return;
        }
        match (&self.folder, &mut self.s3) {
            (Some(_), Some(_)) => {
                check.problem("folder", "`artifacts.s3` is set as well: set exactly one of both");
            }
            (Some(folder), None) => check.absolute("folder", folder),
            (None, Some(s3)) => s3.settle(&mut check.inner("s3")),
            (None, None) => {
                let message = format!(
                    "`{}` needs this setting or `artifacts.s3`, and both are missing",
                    check.process
                );
                check.problem("folder", message);
            }
        }
        if let Some(staging) = &self.staging_folder {
            check.absolute("staging_folder", staging);
        }
    }
}

/// A bucket that speaks S3.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    /// Name of the bucket.
    #[schemars(example = "berth-models")]
    pub bucket: Option<String>,
    /// What the name of every object begins with. Two installations in one bucket need two prefixes.
    #[schemars(example = &"production")]
    pub prefix: Option<String>,
    /// Region of the bucket; servers that know no regions take any.
    #[schemars(example = "eu-central-1")]
    pub region: Option<String>,
    /// URL of the server, where it is not AWS.
    #[schemars(example = "https://minio.example.com")]
    pub endpoint: Option<String>,
    /// Name of the access key. Without it the machine's own identity is used.
    #[schemars(example = &"berth")]
    pub access_key_id: Option<String>,
    /// The access key's secret.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "…")]
    pub secret_access_key: Option<Secret>,
    /// File that holds `secret_access_key`.
    #[schemars(example = "/run/secrets/berth/s3_secret")]
    pub secret_access_key_file: Option<PathBuf>,
    /// Whether the endpoint may be plain `http://`. Model files then cross the network in the clear.
    pub allow_http: bool,
    /// Whether the bucket is part of the host name (`bucket.host/object`) rather than of the path (`host/bucket/object`).
    pub virtual_hosted_style: bool,
}

impl S3 {
    fn settle(&mut self, check: &mut Check<'_>) {
        check.secret(
            "secret_access_key",
            &mut self.secret_access_key,
            self.secret_access_key_file.as_deref(),
        );
        check.required("bucket", self.bucket.as_ref());
        check.required("region", self.region.as_ref());
        let secret_is_set = self.secret_access_key.is_some() || self.secret_access_key_file.is_some();
        if self.access_key_id.is_some() != secret_is_set {
            check.problem(
                "access_key_id",
                "goes together with `secret_access_key`: set both or none",
            );
        }
        if let Some(endpoint) = &self.endpoint {
            if endpoint.starts_with("http://") && !self.allow_http {
                check.problem("endpoint", "is plain HTTP: use `https://`, or set `allow_http`");
            } else if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
                check.problem("endpoint", "must be a URL that begins with `https://`");
            }
        }
    }
}
