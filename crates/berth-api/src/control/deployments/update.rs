//! `PATCH /api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::deployment::Settings;
use berth_domain::name::Handle;
use berth_serving::deployments::{Change, Share};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::deployments::{DeployedVersion, Deployment, WantedSettings};
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, JsonBody};

/// What changes about a deployment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateDeployment {
    /// The versions behind it.
    #[schema(nullable = false)]
    versions: Option<Vec<DeployedVersion>>,
    /// How it is to be run.
    #[schema(nullable = false)]
    settings: Option<WantedSettings>,
    /// Whether it keeps its name and serves nobody.
    #[schema(nullable = false)]
    stopped: Option<bool>,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY],
    VersionNotReady,
);

/// Change a deployment
///
/// Its versions, how it is run, or whether it serves at all. What is left out stays.
#[utoipa::path(
    operation_id = "deployments_update",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the deployment.")),
    request_body = UpdateDeployment,
    responses((status = 200, description = "The deployment.", body = Deployment), Errors)
)]
#[patch("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}")]
pub(crate) async fn update(
    caller: InProject<can::DeploymentsWrite>,
    name: InPath<Handle>,
    body: JsonBody<UpdateDeployment>,
) -> Result<Json<Deployment>, Failure> {
    let wanted = body.read().await?;
    let shares = |versions: Vec<DeployedVersion>| versions.into_iter().map(Share::from).collect();
    let change = Change {
        versions: wanted.versions.map(shares),
        settings: wanted.settings.map(Settings::from),
        stopped: wanted.stopped,
    };
    let deployment = caller.deployments.update(caller.proof(), &name.0, change).await?;
    Ok(Json(Deployment::standing(caller.inference.router(), deployment)))
}
