//! `POST /api/v1/organizations/{organization_id}/projects`

use actix_web::{HttpResponse, post};
use berth_auth::projects::ProjectWish;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_store::idempotency_keys::Keep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::paths::OrganizationPath;
use crate::control::projects::Project;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

/// A project that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateProject {
    /// A short name; no two projects of an organization have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// The web origins whose pages may call models with the project's keys: `scheme://host[:port]`, or `*`.
    #[serde(default)]
    origins: Vec<String>,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS], NameTaken);

/// Make a project
///
/// Keys, models and deployments belong to a project.
#[utoipa::path(
    operation_id = "projects_create",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, RepeatHeader),
    request_body = CreateProject,
    responses((status = 201, description = "The project.", body = Project), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects")]
pub(crate) async fn create(
    caller: InOrganization<can::ProjectsManage>,
    repeats: Repeats,
    body: JsonBody<CreateProject>,
) -> Result<HttpResponse, Failure> {
    let (wanted, digest) = body.read_with_digest().await?;
    let wish = ProjectWish {
        name: wanted.name,
        title: wanted.title,
        cors_origins: wanted.origins,
    };
    let make = async |keep: &Keep<'_, _>| caller.auth.create_project(caller.proof(), wish, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, Project>, make)
        .await
}
