//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::paths::ProjectPath;
use crate::control::service_accounts::ServiceAccount;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the service accounts of a project
///
/// Disabled ones are among them.
#[utoipa::path(
    operation_id = "service_accounts_list",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging),
    responses((status = 200, description = "A page of service accounts.", body = ListBody<ServiceAccount>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts")]
pub(crate) async fn list(
    caller: InProject<can::KeysRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<ServiceAccount>>, Failure> {
    let list = caller
        .auth
        .list_service_accounts(caller.proof(), &paging.0.page()?)
        .await?;
    Ok(Json(ListBody::of(list)))
}
