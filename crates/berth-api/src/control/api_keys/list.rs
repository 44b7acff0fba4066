//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/api-keys`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::api_keys::ApiKey;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the API keys of a project
///
/// Revoked and expired ones are among them.
#[utoipa::path(
    operation_id = "api_keys_list",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging),
    responses((status = 200, description = "A page of API keys.", body = ListBody<ApiKey>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/api-keys")]
pub(crate) async fn list(
    caller: InProject<can::KeysRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<ApiKey>>, Failure> {
    let list = caller.auth.list_keys(caller.proof(), &paging.0.page()?).await?;
    Ok(Json(ListBody::of(list)))
}
