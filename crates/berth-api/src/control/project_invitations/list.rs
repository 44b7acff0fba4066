//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/invitations`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::invitations::Invitation;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List invitations into a project
///
/// Those that were neither accepted nor taken back; expired ones are among them.
#[utoipa::path(
    operation_id = "project_invitations_list",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging),
    responses((status = 200, description = "A page of invitations.", body = ListBody<Invitation>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/invitations")]
pub(crate) async fn list(
    caller: InProject<can::MembersRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Invitation>>, Failure> {
    let list = caller
        .auth
        .list_invitations(caller.proof(), &paging.0.page()?)
        .await?;
    Ok(Json(ListBody::of(list)))
}
