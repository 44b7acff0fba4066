//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts/{service_account_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::ServiceAccountId;

use crate::control::paths::ProjectPath;
use crate::control::service_accounts::ServiceAccount;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show a service account
///
/// One of the project.
#[utoipa::path(
    operation_id = "service_accounts_show",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("service_account_id" = ServiceAccountId, Path, description = "The service account.")),
    responses((status = 200, description = "The service account.", body = ServiceAccount), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts/{service_account_id}")]
pub(crate) async fn show(
    caller: InProject<can::KeysRead>,
    account: InPath<ServiceAccountId>,
) -> Result<Json<ServiceAccount>, Failure> {
    let account = caller
        .auth
        .show_service_account(caller.proof(), account.0)
        .await?;
    Ok(Json(account.into()))
}
