//! `DELETE /api/v1/platform/organizations/{organization_id}`

use actix_web::delete;
use berth_domain::id::OrganizationId;

use crate::answer::NoContent;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Delete any organization
///
/// Its keys stop within a second, nothing of it is found any more, and its name is free. What concerns money stays.
#[utoipa::path(
    operation_id = "platform_delete_organization",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 204, description = "The organization is gone."), Errors)
)]
#[delete("/api/v1/platform/organizations/{organization_id}")]
pub(crate) async fn delete_organization(
    caller: Operating,
    organization: InPath<OrganizationId>,
) -> Result<NoContent, Failure> {
    caller
        .auth
        .delete_organization_as_operator(caller.proof(), organization.0)
        .await?;
    Ok(NoContent)
}
