//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::control::deployments::Deployment;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a deployment
///
/// One of the project, with how it stands on the workers and why.
#[utoipa::path(
    operation_id = "deployments_show",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the deployment.")),
    responses((status = 200, description = "The deployment.", body = Deployment), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}")]
pub(crate) async fn show(
    caller: InProject<can::DeploymentsRead>,
    name: InPath<Handle>,
) -> Result<Json<Deployment>, Failure> {
    let deployment = caller.deployments.show(caller.proof(), &name.0).await?;
    Ok(Json(Deployment::standing(caller.inference.router(), deployment)))
}
