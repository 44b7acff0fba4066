//! `GET /api/v1/organizations`

use actix_web::get;
use actix_web::web::Json;

use crate::control::organizations::Organization;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InQuery, SignedIn};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::PERSON, groups::QUERY]);

/// List the caller's organizations
///
/// Those that the signed-in person is a member of, or of a project of.
#[utoipa::path(
    operation_id = "organizations_list",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(Paging),
    responses((status = 200, description = "A page of organizations.", body = ListBody<Organization>), Errors)
)]
#[get("/api/v1/organizations")]
pub(crate) async fn list(
    caller: SignedIn,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Organization>>, Failure> {
    let page = paging.0.page()?;
    let list = caller.auth.list_organizations(caller.person(), &page).await?;
    Ok(Json(ListBody::of(list)))
}
