//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/api-keys/{api_key_id}/rotate`

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post};
use berth_domain::access::can;
use berth_domain::id::ApiKeyId;
use berth_store::idempotency_keys::Keep;
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::api_keys::KeyWithText;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, JsonBody};
use crate::repeats::{RepeatHeader, Repeats};

/// How a key is rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateApiKey)]
pub(crate) struct RotateKey {
    /// For how many seconds the old text goes on; 0 unless stated.
    #[serde(default)]
    grace_seconds: u32,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS],
    PermissionBeyondOwn, ApiKeyOver,
);

/// Give an API key another text
///
/// The new text is shown in this answer and never again. The old one goes on for the grace period. The caller must have
/// what the key may do.
#[utoipa::path(
    operation_id = "api_keys_rotate",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, RepeatHeader, ("api_key_id" = ApiKeyId, Path, description = "The key.")),
    request_body = RotateKey,
    responses((status = 200, description = "The key and its new text.", body = KeyWithText), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/api-keys/{api_key_id}/rotate")]
pub(crate) async fn rotate(
    caller: InProject<can::KeysManage>,
    key: InPath<ApiKeyId>,
    repeats: Repeats,
    body: JsonBody<RotateKey>,
) -> Result<HttpResponse, Failure> {
    let (RotateKey { grace_seconds }, digest) = body.read_with_digest().await?;
    let grace = TimeDelta::seconds(grace_seconds.into());
    let make = async |keep: &Keep<'_, _>| caller.auth.rotate_key(caller.proof(), key.0, grace, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(|key| (StatusCode::OK, KeyWithText::from(key.clone())), make)
        .await
}
