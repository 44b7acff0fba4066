//! `PATCH /api/v1/organizations/{organization_id}/projects/{project_id}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_store::projects::ProjectChange;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::paths::ProjectPath;
use crate::control::projects::Project;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, JsonBody};

/// What changes about a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateProject {
    /// A short name; no two projects of an organization have the same.
    #[schema(nullable = false)]
    name: Option<Handle>,
    /// What people read.
    #[schema(nullable = false)]
    title: Option<Title>,
    /// The web origins whose pages may call models with the project's keys: `scheme://host[:port]`, or `*`.
    #[schema(nullable = false)]
    origins: Option<Vec<String>>,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY], NameTaken);

/// Change a project
///
/// What is left out stays.
#[utoipa::path(
    operation_id = "projects_update",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath),
    request_body = UpdateProject,
    responses((status = 200, description = "The project.", body = Project), Errors)
)]
#[patch("/api/v1/organizations/{organization_id}/projects/{project_id}")]
pub(crate) async fn update(
    caller: InProject<can::ProjectsManage>,
    body: JsonBody<UpdateProject>,
) -> Result<Json<Project>, Failure> {
    let wanted = body.read().await?;
    let change = ProjectChange {
        name: wanted.name,
        title: wanted.title,
        cors_origins: wanted.origins,
    };
    let project = caller.auth.update_project(caller.proof(), &change).await?;
    Ok(Json(project.into()))
}
