//! `GET /api/v1/organizations/{organization_id}/roles`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;

use crate::control::paths::OrganizationPath;
use crate::control::roles::Role;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the roles of an organization
///
/// Those that it made. The built-in ones are `owner`, `admin`, `developer`, `billing` and `viewer`.
#[utoipa::path(
    operation_id = "roles_list",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, Paging),
    responses((status = 200, description = "A page of roles.", body = ListBody<Role>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/roles")]
pub(crate) async fn list(
    caller: InOrganization<can::MembersRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Role>>, Failure> {
    let list = caller.auth.list_roles(caller.proof(), &paging.0.page()?).await?;
    Ok(Json(ListBody::of(list)))
}
