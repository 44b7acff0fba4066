//! `POST /api/v1/platform/organizations/{organization_id}/suspend`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::id::OrganizationId;

use crate::control::organizations::Organization;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Suspend any organization
///
/// Its owners cannot resume it. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "platform_suspend_organization",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 200, description = "The organization.", body = Organization), Errors)
)]
#[post("/api/v1/platform/organizations/{organization_id}/suspend")]
pub(crate) async fn suspend_organization(
    caller: Operating,
    organization: InPath<OrganizationId>,
) -> Result<Json<Organization>, Failure> {
    let organization = caller
        .auth
        .suspend_organization_as_operator(caller.proof(), organization.0)
        .await?;
    Ok(Json(organization.into()))
}
