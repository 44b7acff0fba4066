//! `DELETE /api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts/{service_account_id}`

use actix_web::delete;
use berth_domain::access::can;
use berth_domain::id::ServiceAccountId;

use crate::answer::NoContent;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Delete a service account
///
/// Its keys are revoked, and its name is free.
#[utoipa::path(
    operation_id = "service_accounts_delete",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("service_account_id" = ServiceAccountId, Path, description = "The service account.")),
    responses((status = 204, description = "The service account is gone."), Errors)
)]
#[delete(
    "/api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts/{service_account_id}"
)]
pub(crate) async fn delete(
    caller: InProject<can::KeysManage>,
    account: InPath<ServiceAccountId>,
) -> Result<NoContent, Failure> {
    caller
        .auth
        .delete_service_account(caller.proof(), account.0)
        .await?;
    Ok(NoContent)
}
