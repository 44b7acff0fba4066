//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/models`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::models::Model;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the models that a project can see
///
/// Its own, and those that its organization shares.
#[utoipa::path(
    operation_id = "models_list",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging),
    responses((status = 200, description = "A page of models.", body = ListBody<Model>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/models")]
pub(crate) async fn list(
    caller: InProject<can::ModelsRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Model>>, Failure> {
    let list = caller.models.list(caller.proof(), &paging.0.page()?).await?;
    Ok(Json(ListBody::of(list)))
}
