//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/api-keys/{api_key_id}/revoke`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::ApiKeyId;

use crate::control::api_keys::ApiKey;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Revoke an API key
///
/// It stops on every node within a second, for good. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "api_keys_revoke",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("api_key_id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = ApiKey), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/api-keys/{api_key_id}/revoke")]
pub(crate) async fn revoke(
    caller: InProject<can::KeysManage>,
    key: InPath<ApiKeyId>,
) -> Result<Json<ApiKey>, Failure> {
    let key = caller.auth.revoke_key(caller.proof(), key.0).await?;
    Ok(Json(key.into()))
}
