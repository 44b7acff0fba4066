//! Projects.

use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use super::{Client, Error, Reply};

/// A project.
#[derive(Debug, Deserialize)]
pub(crate) struct Project {
    #[serde(rename = "project_id")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) status: String,
}

fn url(client: &Client, organization: &str) -> Url {
    client.url(&["api", "v1", "organizations", organization, "projects"])
}

/// The projects of an organization that the caller sees.
pub(crate) async fn list(client: &Client, organization: &str) -> Result<Reply<Vec<Project>>, Error> {
    client.list(url(client, organization)).await
}

/// Makes a project.
pub(crate) async fn create(
    client: &Client,
    organization: &str,
    name: &str,
    title: &str,
) -> Result<Reply<Project>, Error> {
    client
        .post(
            url(client, organization),
            &json!({ "name": name, "title": title }),
        )
        .await
}

/// Where the things of one project are.
#[derive(Debug)]
pub(crate) struct InProject {
    /// Calls the server.
    pub(crate) client: Client,
    /// The id of the organization.
    pub(crate) organization: String,
    /// The id of the project.
    pub(crate) project: String,
}

impl InProject {
    /// The address of something in the project.
    pub(crate) fn url(&self, parts: &[&str]) -> Url {
        let root = [
            "api",
            "v1",
            "organizations",
            &self.organization,
            "projects",
            &self.project,
        ];
        self.client.url(&[&root, parts].concat())
    }
}
