//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], ModelDeployed);

/// Delete a model with its versions
///
/// Refused while a deployment serves one of them. The bytes go when nothing else of the organization has them.
#[utoipa::path(
    operation_id = "models_delete",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the model.")),
    responses((status = 204, description = "The model is gone."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}")]
pub(crate) async fn delete(
    caller: InProject<can::ModelsWrite>,
    name: InPath<Handle>,
) -> Result<NoContent, Failure> {
    caller.models.delete(caller.proof(), &name.0).await?;
    Ok(NoContent)
}
