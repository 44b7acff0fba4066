//! `GET /api/v1/organizations/{organization_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::organizations::Organization;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InOrganization;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show an organization
///
/// Every member may.
#[utoipa::path(
    operation_id = "organizations_show",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 200, description = "The organization.", body = Organization), Errors)
)]
#[get("/api/v1/organizations/{organization_id}")]
pub(crate) async fn show(
    caller: InOrganization<can::OrganizationRead>,
) -> Result<Json<Organization>, Failure> {
    let organization = caller.auth.show_organization(caller.proof()).await?;
    Ok(Json(organization.into()))
}
