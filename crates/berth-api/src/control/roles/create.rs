//! `POST /api/v1/organizations/{organization_id}/roles`

use actix_web::{HttpResponse, post};
use berth_auth::roles::RoleWish;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use berth_store::idempotency_keys::Keep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::paths::OrganizationPath;
use crate::control::roles::Role;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

/// A role that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateRole {
    /// A short name; no two roles of an organization have the same.
    name: Handle,
    /// What people read.
    title: Title,
    /// What those who have it may do; at least one.
    permissions: PermissionSet,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS],
    PermissionBeyondOwn, NameTaken,
);

/// Make a role
///
/// Of permissions that the caller has.
#[utoipa::path(
    operation_id = "roles_create",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, RepeatHeader),
    request_body = CreateRole,
    responses((status = 201, description = "The role.", body = Role), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/roles")]
pub(crate) async fn create(
    caller: InOrganization<can::MembersManage>,
    repeats: Repeats,
    body: JsonBody<CreateRole>,
) -> Result<HttpResponse, Failure> {
    let (wanted, digest) = body.read_with_digest().await?;
    let wish = RoleWish {
        name: wanted.name,
        title: wanted.title,
        permissions: wanted.permissions,
    };
    let make = async |keep: &Keep<'_, _>| caller.auth.create_role(caller.proof(), wish, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, Role>, make)
        .await
}
