//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Delete a deployment
///
/// Its name is free again; calls answer that there is no such model.
#[utoipa::path(
    operation_id = "deployments_delete",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the deployment.")),
    responses((status = 204, description = "The deployment is gone."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}")]
pub(crate) async fn delete(
    caller: InProject<can::DeploymentsWrite>,
    name: InPath<Handle>,
) -> Result<NoContent, Failure> {
    caller.deployments.delete(caller.proof(), &name.0).await?;
    Ok(NoContent)
}
