//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/api-keys/{api_key_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::ApiKeyId;

use crate::control::api_keys::ApiKey;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show an API key
///
/// Never its text.
#[utoipa::path(
    operation_id = "api_keys_show",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("api_key_id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = ApiKey), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/api-keys/{api_key_id}")]
pub(crate) async fn show(
    caller: InProject<can::KeysRead>,
    key: InPath<ApiKeyId>,
) -> Result<Json<ApiKey>, Failure> {
    let key = caller.auth.show_key(caller.proof(), key.0).await?;
    Ok(Json(key.into()))
}
