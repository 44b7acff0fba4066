//! `PATCH /api/v1/organizations/{organization_id}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::organizations::Organization;
use crate::control::paths::OrganizationPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, JsonBody};

/// What changes about an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateOrganization {
    /// A short name; no two organizations have the same.
    #[schema(nullable = false)]
    name: Option<Handle>,
    /// What people read.
    #[schema(nullable = false)]
    title: Option<Title>,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY], NameTaken);

/// Rename an organization
///
/// What is left out stays.
#[utoipa::path(
    operation_id = "organizations_update",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    request_body = UpdateOrganization,
    responses((status = 200, description = "The organization.", body = Organization), Errors)
)]
#[patch("/api/v1/organizations/{organization_id}")]
pub(crate) async fn update(
    caller: InOrganization<can::OrganizationManage>,
    body: JsonBody<UpdateOrganization>,
) -> Result<Json<Organization>, Failure> {
    let UpdateOrganization { name, title } = body.read().await?;
    let renamed = caller
        .auth
        .rename_organization(caller.proof(), name.as_ref(), title.as_ref())
        .await?;
    Ok(Json(renamed.into()))
}
