//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions/{number}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::control::paths::ProjectPath;
use crate::control::versions::VersionWithFiles;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, Number};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a version
///
/// With its files. Ask again until `state` is `ready` or `failed`.
#[utoipa::path(
    operation_id = "versions_show",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath,
        ("name" = Handle, Path, description = "The name of the model."),
        ("number" = u32, Path, description = "The number of the version.")
    ),
    responses((status = 200, description = "The version.", body = VersionWithFiles), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions/{number}")]
pub(crate) async fn show(
    caller: InProject<can::ModelsRead>,
    name: InPath<Handle>,
    number: InPath<Number>,
) -> Result<Json<VersionWithFiles>, Failure> {
    let (version, files) = caller
        .models
        .show_version(caller.proof(), &name.0, number.0.0)
        .await?;
    Ok(Json(VersionWithFiles::new(version, files)))
}
