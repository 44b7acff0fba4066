//! `GET /api/v1/organizations/{organization_id}/roles/{role_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::RoleId;

use crate::control::paths::OrganizationPath;
use crate::control::roles::Role;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InPath};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a role
///
/// One that the organization made.
#[utoipa::path(
    operation_id = "roles_show",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, ("role_id" = RoleId, Path, description = "The role.")),
    responses((status = 200, description = "The role.", body = Role), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/roles/{role_id}")]
pub(crate) async fn show(
    caller: InOrganization<can::MembersRead>,
    role: InPath<RoleId>,
) -> Result<Json<Role>, Failure> {
    let role = caller.auth.show_role(caller.proof(), role.0).await?;
    Ok(Json(role.into()))
}
