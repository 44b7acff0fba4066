//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}`

use actix_web::delete;
use berth_domain::access::can;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InProject;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Delete a project
///
/// Its keys stop within a second, nothing of it is found any more, and its name is free. What concerns money stays.
#[utoipa::path(
    operation_id = "projects_delete",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath),
    responses((status = 204, description = "The project is gone."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/projects/{project_id}")]
pub(crate) async fn delete(caller: InProject<can::ProjectsManage>) -> Result<NoContent, Failure> {
    caller.auth.delete_project(caller.proof()).await?;
    Ok(NoContent)
}
