//! `GET /api/v1/organizations/{organization_id}/projects`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::paths::OrganizationPath;
use crate::control::projects::Project;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the projects of an organization
///
/// Those that the caller may see: all, or those that they are a member of.
#[utoipa::path(
    operation_id = "projects_list",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, Paging),
    responses((status = 200, description = "A page of projects.", body = ListBody<Project>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects")]
pub(crate) async fn list(
    caller: InOrganization<can::OrganizationRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Project>>, Failure> {
    let list = caller
        .auth
        .list_projects(caller.proof(), &paging.0.page()?)
        .await?;
    Ok(Json(ListBody::of(list)))
}
