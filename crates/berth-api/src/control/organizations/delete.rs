//! `DELETE /api/v1/organizations/{organization_id}`

use actix_web::delete;
use berth_domain::access::can;

use crate::answer::NoContent;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::InOrganization;

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Delete an organization
///
/// Its keys stop within a second, nothing of it is found any more, and its name is free. What concerns money stays.
#[utoipa::path(
    operation_id = "organizations_delete",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    responses((status = 204, description = "The organization is gone."), Errors)
)]
#[delete("/api/v1/organizations/{organization_id}")]
pub(crate) async fn delete(caller: InOrganization<can::OrganizationManage>) -> Result<NoContent, Failure> {
    caller.auth.delete_organization(caller.proof()).await?;
    Ok(NoContent)
}
