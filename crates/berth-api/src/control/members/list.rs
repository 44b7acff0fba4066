//! `GET /api/v1/organizations/{organization_id}/members`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::members::Member;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the members of an organization
///
/// With their roles.
#[utoipa::path(
    operation_id = "members_list",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, Paging),
    responses((status = 200, description = "A page of members.", body = ListBody<Member>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/members")]
pub(crate) async fn list(
    caller: InOrganization<can::MembersRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Member>>, Failure> {
    let list = caller
        .auth
        .list_members(caller.proof(), &paging.0.page()?)
        .await?;
    Ok(Json(ListBody::of(list)))
}
