//! Organizations.

use serde::Deserialize;

use super::{Client, Error, Reply};

/// An organization.
#[derive(Debug, Deserialize)]
pub(crate) struct Organization {
    #[serde(rename = "organization_id")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) status: String,
}

/// The organizations that the caller belongs to.
pub(crate) async fn list(client: &Client) -> Result<Reply<Vec<Organization>>, Error> {
    client.list(client.url(&["api", "v1", "organizations"])).await
}
