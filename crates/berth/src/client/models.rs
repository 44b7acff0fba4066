//! Models and their versions.

use indicatif::ProgressBar;
use reqwest::Body;
use serde::Deserialize;

use super::packing::Package;
use super::projects::InProject;
use super::{Error, Reply};

/// A model.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) visibility: String,
    pub(crate) created_at: String,
}

/// One upload of a model.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    pub(crate) size_bytes: u64,
    pub(crate) created_at: String,
}

impl Version {
    /// Whether it is still being proved.
    pub(crate) fn is_checking(&self) -> bool {
        self.state == "checking"
    }
}

/// The models of the project.
pub(crate) async fn list(at: &InProject) -> Result<Reply<Vec<Model>>, Error> {
    at.client.list(at.url(&["models"])).await
}

/// One model.
pub(crate) async fn show(at: &InProject, name: &str) -> Result<Reply<Model>, Error> {
    at.client.get(at.url(&["models", name])).await
}

/// The versions of a model, the newest first.
pub(crate) async fn versions(at: &InProject, name: &str) -> Result<Reply<Vec<Version>>, Error> {
    at.client.list(at.url(&["models", name, "versions"])).await
}

/// One version of a model.
pub(crate) async fn version(at: &InProject, name: &str, number: u64) -> Result<Reply<Version>, Error> {
    at.client
        .get(at.url(&["models", name, "versions", &number.to_string()]))
        .await
}

/// Uploads a version; the model is made when it is not there.
pub(crate) async fn push(
    at: &InProject,
    name: &str,
    package: Package,
    progress: ProgressBar,
) -> Result<Reply<Version>, Error> {
    let mut url = at.url(&["models", name, "versions"]);
    url.query_pairs_mut().append_pair("filename", &package.file_name);
    let headers = [("content-type", "application/octet-stream".to_owned())];
    at.client
        .upload(url, &headers, Body::wrap_stream(package.stream(progress)))
        .await
}
