//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::control::models::Model;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a model
///
/// One of the project.
#[utoipa::path(
    operation_id = "models_show",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the model.")),
    responses((status = 200, description = "The model.", body = Model), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}")]
pub(crate) async fn show(
    caller: InProject<can::ModelsRead>,
    name: InPath<Handle>,
) -> Result<Json<Model>, Failure> {
    let model = caller.models.show(caller.proof(), &name.0).await?;
    Ok(Json(model.into()))
}
