//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}/members/{membership_id}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::id::MembershipId;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], PermissionBeyondOwn, LastOwner);

/// Remove a member of a project
///
/// Keys of the person's own stop within a second. The caller must have what the member has.
#[utoipa::path(
    operation_id = "project_members_remove",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("membership_id" = MembershipId, Path, description = "The membership.")),
    responses((status = 204, description = "The person is no member any more."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/projects/{project_id}/members/{membership_id}")]
pub(crate) async fn remove(
    caller: InProject<can::MembersManage>,
    membership: InPath<MembershipId>,
) -> Result<NoContent, Failure> {
    caller.auth.remove_member(caller.proof(), membership.0).await?;
    Ok(NoContent)
}
