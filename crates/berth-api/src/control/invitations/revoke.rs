//! `DELETE /api/v1/organizations/{organization_id}/invitations/{invitation_id}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::id::InvitationId;

use crate::answer::NoContent;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InPath};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], PermissionBeyondOwn);

/// Take an invitation into an organization back
///
/// Its link opens nothing any more.
#[utoipa::path(
    operation_id = "invitations_revoke",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, ("invitation_id" = InvitationId, Path, description = "The invitation.")),
    responses((status = 204, description = "The invitation was taken back."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/invitations/{invitation_id}")]
pub(crate) async fn revoke(
    caller: InOrganization<can::MembersManage>,
    invitation: InPath<InvitationId>,
) -> Result<NoContent, Failure> {
    caller
        .auth
        .revoke_invitation(caller.proof(), invitation.0)
        .await?;
    Ok(NoContent)
}
