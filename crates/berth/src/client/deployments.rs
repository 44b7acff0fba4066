//! Deployments: names under which versions are served.

use serde::{Deserialize, Serialize};

use super::projects::InProject;
use super::{Error, Reply};

/// A deployment.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) version: u64,
    pub(crate) created_at: String,
}

/// What a new deployment serves.
#[derive(Debug, Serialize)]
pub(crate) struct NewDeployment {
    pub(crate) name: String,
    pub(crate) model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
}

/// What a deployment should serve from now on.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) version: u64,
}

/// The deployments of the project.
pub(crate) async fn list(at: &InProject) -> Result<Reply<Vec<Deployment>>, Error> {
    at.client.list(at.url(&["deployments"])).await
}

/// Begins to serve a version under a name.
pub(crate) async fn create(at: &InProject, deployment: &NewDeployment) -> Result<Reply<Deployment>, Error> {
    at.client.post(at.url(&["deployments"]), deployment).await
}

/// Serves another version under the name.
pub(crate) async fn update(at: &InProject, name: &str, change: &Change) -> Result<Reply<Deployment>, Error> {
    at.client.patch(at.url(&["deployments", name]), change).await
}

/// Stops serving under the name.
pub(crate) async fn delete(at: &InProject, name: &str) -> Result<(), Error> {
    at.client.delete(at.url(&["deployments", name])).await
}
