//! `POST /api/v1/organizations`

use actix_web::post;
use berth_auth::organizations::OrganizationWish;
use berth_domain::name::{Handle, Title};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::Created;
use crate::control::organizations::Organization;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Authenticated, JsonBody};

/// An organization that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOrganization {
    /// A short name; no two organizations have the same.
    name: Handle,
    /// What people read.
    title: Title,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::PERSON, groups::BODY],
    OperatorRequired, NameTaken,
);

/// Make an organization
///
/// The caller becomes its owner. Where people cannot make accounts of their own, only operators make organizations.
#[utoipa::path(
    operation_id = "organizations_create",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    request_body = CreateOrganization,
    responses((status = 201, description = "The organization.", body = Organization), Errors)
)]
#[post("/api/v1/organizations")]
pub(crate) async fn create(
    caller: Authenticated,
    body: JsonBody<CreateOrganization>,
) -> Result<Created<Organization>, Failure> {
    let CreateOrganization { name, title } = body.read().await?;
    let wish = OrganizationWish { name, title };
    let made = caller.auth.create_organization(caller.caller(), wish).await?;
    Ok(Created(made.into()))
}
