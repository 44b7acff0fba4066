//! `POST /api/v1/organizations/{organization_id}/suspend`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::organizations::Organization;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InOrganization;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Suspend an organization
///
/// Its keys stop within a second, and only reading goes on. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "organizations_suspend",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 200, description = "The organization.", body = Organization), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/suspend")]
pub(crate) async fn suspend(
    caller: InOrganization<can::OrganizationManage>,
) -> Result<Json<Organization>, Failure> {
    let organization = caller.auth.suspend_organization(caller.proof()).await?;
    Ok(Json(organization.into()))
}
