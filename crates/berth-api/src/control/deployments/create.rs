//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/deployments`

use actix_web::{HttpResponse, post};
use berth_domain::access::can;
use berth_domain::name::Handle;
use berth_serving::deployments::{Draft, Share};
use berth_store::idempotency_keys::Keep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::deployments::{DeployedVersion, Deployment, WantedSettings};
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

/// A deployment that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateDeployment {
    /// What callers write into the field `model`; no two deployments of a project have the same.
    name: Handle,
    /// The name of the model.
    model: Handle,
    /// The versions; the newest that is ready unless stated.
    #[serde(default)]
    versions: Vec<DeployedVersion>,
    /// How it is to be run.
    #[serde(default)]
    settings: WantedSettings,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS],
    NameTaken, VersionNotReady,
);

/// Serve versions of a model under a name
///
/// The versions must be `ready`. Until a worker holds them, calls answer 503 with a wait.
#[utoipa::path(
    operation_id = "deployments_create",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, RepeatHeader),
    request_body = CreateDeployment,
    responses((status = 201, description = "The deployment.", body = Deployment), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments")]
pub(crate) async fn create(
    caller: InProject<can::DeploymentsWrite>,
    repeats: Repeats,
    body: JsonBody<CreateDeployment>,
) -> Result<HttpResponse, Failure> {
    let (wanted, digest) = body.read_with_digest().await?;
    let draft = Draft {
        name: wanted.name,
        model: wanted.model,
        versions: wanted.versions.into_iter().map(Share::from).collect(),
        settings: wanted.settings.into(),
    };
    let make = async |keep: &Keep<'_, _>| caller.deployments.create(caller.proof(), draft, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, Deployment>, make)
        .await
}
