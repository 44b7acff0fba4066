//! `POST /api/v1/organizations/{organization_id}/roles`

use actix_web::post;
use berth_auth::roles::RoleWish;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::Created;
use crate::control::paths::OrganizationPath;
use crate::control::roles::Role;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, JsonBody};

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
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY],
    PermissionBeyondOwn, NameTaken,
);

/// Make a role
///
/// Of permissions that the caller has.
#[utoipa::path(
    operation_id = "roles_create",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath),
    request_body = CreateRole,
    responses((status = 201, description = "The role.", body = Role), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/roles")]
pub(crate) async fn create(
    caller: InOrganization<can::MembersManage>,
    body: JsonBody<CreateRole>,
) -> Result<Created<Role>, Failure> {
    let CreateRole {
        name,
        title,
        permissions,
    } = body.read().await?;
    let wish = RoleWish {
        name,
        title,
        permissions,
    };
    let made = caller.auth.create_role(caller.proof(), wish).await?;
    Ok(Created(made.into()))
}
