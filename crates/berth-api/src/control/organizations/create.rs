//! `POST /api/v1/organizations`

use actix_web::{HttpResponse, post};
use berth_auth::organizations::OrganizationWish;
use berth_domain::name::{Handle, Title};
use berth_store::idempotency_keys::Keep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::organizations::Organization;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Authenticated, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

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
    Errors for Native: [groups::CALLER, groups::PERSON, groups::BODY, groups::REPEATS],
    OperatorRequired, NameTaken,
);

/// Make an organization
///
/// The caller becomes its owner. Where people cannot make accounts of their own, only operators make organizations.
#[utoipa::path(
    operation_id = "organizations_create",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(RepeatHeader),
    request_body = CreateOrganization,
    responses((status = 201, description = "The organization.", body = Organization), Errors)
)]
#[post("/api/v1/organizations")]
pub(crate) async fn create(
    caller: Authenticated,
    repeats: Repeats,
    body: JsonBody<CreateOrganization>,
) -> Result<HttpResponse, Failure> {
    let (CreateOrganization { name, title }, digest) = body.read_with_digest().await?;
    let wish = OrganizationWish { name, title };
    let make = async |keep: &Keep<'_, _>| caller.auth.create_organization(caller.caller(), wish, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, Organization>, make)
        .await
}
