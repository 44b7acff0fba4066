//! `PATCH /api/v1/organizations/{organization_id}/projects/{project_id}/members/{membership_id}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::MembershipId;

use crate::control::members::{Member, UpdateMember};
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, JsonBody};

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY],
    PermissionBeyondOwn, LastOwner,
);

/// Give a member of a project another role
///
/// The caller must have what the member has and what the new role gives.
#[utoipa::path(
    operation_id = "project_members_update",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("membership_id" = MembershipId, Path, description = "The membership.")),
    request_body = UpdateMember,
    responses((status = 200, description = "The member.", body = Member), Errors)
)]
#[patch("/api/v1/organizations/{organization_id}/projects/{project_id}/members/{membership_id}")]
pub(crate) async fn update(
    caller: InProject<can::MembersManage>,
    membership: InPath<MembershipId>,
    body: JsonBody<UpdateMember>,
) -> Result<Json<Member>, Failure> {
    let UpdateMember { role } = body.read().await?;
    let member = caller
        .auth
        .give_role(caller.proof(), membership.0, role.0)
        .await?;
    Ok(Json(member.into()))
}
