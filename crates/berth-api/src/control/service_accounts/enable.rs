//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts/{service_account_id}/enable`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::ServiceAccountId;

use crate::control::paths::ProjectPath;
use crate::control::service_accounts::ServiceAccount;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Enable a service account
///
/// Its keys hold again. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "service_accounts_enable",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("service_account_id" = ServiceAccountId, Path, description = "The service account.")),
    responses((status = 200, description = "The service account.", body = ServiceAccount), Errors)
)]
#[post(
    "/api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts/{service_account_id}/enable"
)]
pub(crate) async fn enable(
    caller: InProject<can::KeysManage>,
    account: InPath<ServiceAccountId>,
) -> Result<Json<ServiceAccount>, Failure> {
    let account = caller
        .auth
        .enable_service_account(caller.proof(), account.0)
        .await?;
    Ok(Json(account.into()))
}
