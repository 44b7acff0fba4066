//! `PATCH /api/v1/organizations/{organization_id}/roles/{role_id}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::RoleId;
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use berth_store::roles::RoleChange;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::paths::OrganizationPath;
use crate::control::roles::Role;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOrganization, InPath, JsonBody};

/// What changes about a role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateRole {
    /// A short name; no two roles of an organization have the same.
    #[schema(nullable = false)]
    name: Option<Handle>,
    /// What people read.
    #[schema(nullable = false)]
    title: Option<Title>,
    /// What those who have it may do; at least one.
    #[schema(nullable = false)]
    permissions: Option<PermissionSet>,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY],
    PermissionBeyondOwn, NameTaken,
);

/// Change a role
///
/// For everyone who has it. What is left out stays. The caller must have what the role permits before and after.
#[utoipa::path(
    operation_id = "roles_update",
    tag = "organizations",
    security(("bearer" = []), ("sign_in" = [])),
    params(OrganizationPath, ("role_id" = RoleId, Path, description = "The role.")),
    request_body = UpdateRole,
    responses((status = 200, description = "The role.", body = Role), Errors)
)]
#[patch("/api/v1/organizations/{organization_id}/roles/{role_id}")]
pub(crate) async fn update(
    caller: InOrganization<can::MembersManage>,
    role: InPath<RoleId>,
    body: JsonBody<UpdateRole>,
) -> Result<Json<Role>, Failure> {
    let UpdateRole {
        name,
        title,
        permissions,
    } = body.read().await?;
    let change = RoleChange {
        name,
        title,
        permissions,
    };
    let role = caller.auth.update_role(caller.proof(), role.0, &change).await?;
    Ok(Json(role.into()))
}
