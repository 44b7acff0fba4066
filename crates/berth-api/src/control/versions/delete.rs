//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions/{number}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, Number};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], ModelDeployed);

/// Delete a version
///
/// Refused while a deployment serves it. Its number is not given again.
#[utoipa::path(
    operation_id = "versions_delete",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath,
        ("name" = Handle, Path, description = "The name of the model."),
        ("number" = u32, Path, description = "The number of the version.")
    ),
    responses((status = 204, description = "The version is gone."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions/{number}")]
pub(crate) async fn delete(
    caller: InProject<can::ModelsWrite>,
    name: InPath<Handle>,
    number: InPath<Number>,
) -> Result<NoContent, Failure> {
    caller
        .models
        .delete_version(caller.proof(), &name.0, number.0.0)
        .await?;
    Ok(NoContent)
}
