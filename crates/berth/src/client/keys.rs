//! API keys.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::projects::InProject;
use super::{Error, Reply};

/// An API key, without its secret.
#[derive(Debug, Deserialize)]
pub(crate) struct ApiKey {
    #[serde(rename = "api_key_id")]
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) last_used_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
}

/// A key just made or rotated; nobody can read its secret again.
#[derive(Debug, Deserialize)]
pub(crate) struct FreshKey {
    #[serde(flatten)]
    pub(crate) key: ApiKey,
    /// The text to call with.
    pub(crate) secret: String,
}

/// What a new key should be.
#[derive(Debug, Serialize)]
pub(crate) struct NewKey {
    pub(crate) title: String,
    pub(crate) scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) models: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
}

/// The keys of the project.
pub(crate) async fn list(at: &InProject) -> Result<Reply<Vec<ApiKey>>, Error> {
    at.client.list(at.url(&["api-keys"])).await
}

/// Makes a key.
pub(crate) async fn create(at: &InProject, key: &NewKey) -> Result<Reply<FreshKey>, Error> {
    at.client.post(at.url(&["api-keys"]), key).await
}

/// Gives a key a new secret; the old one goes on for so many seconds.
pub(crate) async fn rotate(
    at: &InProject,
    id: &str,
    grace_seconds: Option<u64>,
) -> Result<Reply<FreshKey>, Error> {
    let body = grace_seconds.map_or_else(|| json!({}), |grace| json!({ "grace_seconds": grace }));
    at.client.post(at.url(&["api-keys", id, "rotate"]), &body).await
}

/// Makes a key worthless.
pub(crate) async fn revoke(at: &InProject, id: &str) -> Result<Reply<ApiKey>, Error> {
    at.client
        .post(at.url(&["api-keys", id, "revoke"]), &json!({}))
        .await
}
