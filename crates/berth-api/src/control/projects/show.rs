//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::paths::ProjectPath;
use crate::control::projects::Project;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InProject;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a project
///
/// With its web origins.
#[utoipa::path(
    operation_id = "projects_show",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath),
    responses((status = 200, description = "The project.", body = Project), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}")]
pub(crate) async fn show(caller: InProject<can::ProjectsRead>) -> Result<Json<Project>, Failure> {
    let project = caller.auth.show_project(caller.proof()).await?;
    Ok(Json(project.into()))
}
