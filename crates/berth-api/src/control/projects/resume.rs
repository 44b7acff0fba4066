//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/resume`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::paths::ProjectPath;
use crate::control::projects::Project;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InProject;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Resume a project
///
/// Done again, it changes nothing.
#[utoipa::path(
    operation_id = "projects_resume",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath),
    responses((status = 200, description = "The project.", body = Project), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/resume")]
pub(crate) async fn resume(caller: InProject<can::ProjectsManage>) -> Result<Json<Project>, Failure> {
    let project = caller.auth.resume_project(caller.proof()).await?;
    Ok(Json(project.into()))
}
