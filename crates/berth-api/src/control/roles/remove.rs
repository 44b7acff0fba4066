//! `DELETE /api/v1/organizations/{organization_id}/roles/{role_id}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::id::RoleId;

use crate::answer::NoContent;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InPath};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], PermissionBeyondOwn, RoleInUse);

/// Remove a role
///
/// One that no member has. Invitations that promise it are taken back.
#[utoipa::path(
    operation_id = "roles_remove",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, ("role_id" = RoleId, Path, description = "The role.")),
    responses((status = 204, description = "The role is gone."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}/roles/{role_id}")]
pub(crate) async fn remove(
    caller: InOrganization<can::MembersManage>,
    role: InPath<RoleId>,
) -> Result<NoContent, Failure> {
    caller.auth.remove_role(caller.proof(), role.0).await?;
    Ok(NoContent)
}
