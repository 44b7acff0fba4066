//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}/invitations/{invitation_id}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::id::InvitationId;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], PermissionBeyondOwn);

/// Take an invitation into a project back
///
/// Its link opens nothing any more.
#[utoipa::path(
    operation_id = "project_invitations_revoke",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 204, description = "The invitation was taken back."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/projects/{project_id}/invitations/{invitation_id}")]
pub(crate) async fn revoke(
    caller: InProject<can::MembersManage>,
    invitation: InPath<InvitationId>,
) -> Result<NoContent, Failure> {
    caller
        .auth
        .revoke_invitation(caller.proof(), invitation.0)
        .await?;
    Ok(NoContent)
}
