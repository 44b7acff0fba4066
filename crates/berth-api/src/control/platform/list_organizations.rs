//! `GET /api/v1/platform/organizations`

use actix_web::get;
use actix_web::web::Json;

use crate::control::organizations::Organization;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InQuery, Operating};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR, groups::QUERY]);

/// List all organizations
///
/// Suspended ones are among them.
#[utoipa::path(
    operation_id = "platform_list_organizations",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(Paging),
    responses((status = 200, description = "A page of organizations.", body = ListBody<Organization>), Errors)
)]
#[get("/api/v1/platform/organizations")]
pub(crate) async fn list_organizations(
    caller: Operating,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Organization>>, Failure> {
    let list = caller
        .auth
        .list_all_organizations(caller.proof(), &paging.0.page()?)
        .await?;
    Ok(Json(ListBody::of(list)))
}
