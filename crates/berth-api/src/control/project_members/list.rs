//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/members`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::members::Member;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the members of a project
///
/// With their roles.
#[utoipa::path(
    operation_id = "project_members_list",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging),
    responses((status = 200, description = "A page of members.", body = ListBody<Member>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/members")]
pub(crate) async fn list(
    caller: InProject<can::MembersRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Member>>, Failure> {
    let list = caller
        .auth
        .list_members(caller.proof(), &paging.0.page()?)
        .await?;
    Ok(Json(ListBody::of(list)))
}
