//! `POST /api/v1/organizations/{organization_id}/members/{membership_id}/leave`

use actix_web::post;
use berth_domain::id::{MembershipId, OrganizationId};

use crate::answer::NoContent;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, SignedIn};

declare_errors!(Errors for Native: [groups::CALLER, groups::PERSON], NotFound, LastOwner);

/// Leave an organization or project
///
/// Ends one of the caller's own memberships. The last owner of an organization cannot leave.
#[utoipa::path(
    operation_id = "members_leave",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, ("membership_id" = MembershipId, Path, description = "The membership.")),
    responses((status = 204, description = "The person is no member any more."), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/members/{membership_id}/leave")]
pub(crate) async fn leave(
    caller: SignedIn,
    organization: InPath<OrganizationId>,
    membership: InPath<MembershipId>,
) -> Result<NoContent, Failure> {
    caller
        .auth
        .leave(caller.person(), organization.0, membership.0)
        .await?;
    Ok(NoContent)
}
