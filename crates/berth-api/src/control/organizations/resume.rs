//! `POST /api/v1/organizations/{organization_id}/resume`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::organizations::Organization;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InOrganization;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT], SuspendedByOperator);

/// Resume an organization
///
/// Unless the operator suspended it. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "organizations_resume",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 200, description = "The organization.", body = Organization), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/resume")]
pub(crate) async fn resume(
    caller: InOrganization<can::OrganizationManage>,
) -> Result<Json<Organization>, Failure> {
    let organization = caller.auth.resume_organization(caller.proof()).await?;
    Ok(Json(organization.into()))
}
