//! `GET /api/v1/platform/organizations/{organization_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::id::OrganizationId;

use crate::control::organizations::Organization;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Show any organization
///
/// Its name and status, nothing of what is in it.
#[utoipa::path(
    operation_id = "platform_show_organization",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 200, description = "The organization.", body = Organization), Errors)
)]
#[get("/api/v1/platform/organizations/{organization_id}")]
pub(crate) async fn show_organization(
    caller: Operating,
    organization: InPath<OrganizationId>,
) -> Result<Json<Organization>, Failure> {
    let organization = caller
        .auth
        .show_any_organization(caller.proof(), organization.0)
        .await?;
    Ok(Json(organization.into()))
}
