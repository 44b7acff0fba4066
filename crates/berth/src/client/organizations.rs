//! Organizations.

use serde::Deserialize;
use serde_json::json;

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

/// Makes an organization, owned by the caller.
pub(crate) async fn create(client: &Client, name: &str, title: &str) -> Result<Reply<Organization>, Error> {
    client
        .post(
            client.url(&["api", "v1", "organizations"]),
            &json!({ "name": name, "title": title }),
        )
        .await
}
