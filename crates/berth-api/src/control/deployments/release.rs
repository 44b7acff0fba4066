//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}/release`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::control::deployments::Deployment;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Load crashed versions again
///
/// A version whose process crashed three times in a row is loaded no more. This, and every change of the deployment, has it loaded
/// again.
#[utoipa::path(
    operation_id = "deployments_release",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the deployment.")),
    responses((status = 200, description = "The deployment.", body = Deployment), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}/release")]
pub(crate) async fn release(
    caller: InProject<can::DeploymentsWrite>,
    name: InPath<Handle>,
) -> Result<Json<Deployment>, Failure> {
    let deployment = caller.deployments.release(caller.proof(), &name.0).await?;
    Ok(Json(Deployment::standing(caller.inference.router(), deployment)))
}
