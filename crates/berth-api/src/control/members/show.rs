//! `GET /api/v1/organizations/{organization_id}/members/{membership_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::MembershipId;

use crate::control::members::Member;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InPath};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a member of an organization
///
/// With the role.
#[utoipa::path(
    operation_id = "members_show",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, ("membership_id" = MembershipId, Path, description = "The membership.")),
    responses((status = 200, description = "The member.", body = Member), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/members/{membership_id}")]
pub(crate) async fn show(
    caller: InOrganization<can::MembersRead>,
    membership: InPath<MembershipId>,
) -> Result<Json<Member>, Failure> {
    let member = caller.auth.show_member(caller.proof(), membership.0).await?;
    Ok(Json(member.into()))
}
