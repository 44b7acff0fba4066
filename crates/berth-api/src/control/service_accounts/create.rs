//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts`

use actix_web::{HttpResponse, post};
use berth_auth::service_accounts::ServiceAccountWish;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_store::idempotency_keys::Keep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::paths::ProjectPath;
use crate::control::service_accounts::ServiceAccount;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

/// A service account that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateServiceAccount {
    /// A short name; no two service accounts of a project have the same.
    name: Handle,
    /// What people read.
    title: Title,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS], NameTaken);

/// Make a service account
///
/// Its keys outlive the person who makes them.
#[utoipa::path(
    operation_id = "service_accounts_create",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, RepeatHeader),
    request_body = CreateServiceAccount,
    responses((status = 201, description = "The service account.", body = ServiceAccount), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/service-accounts")]
pub(crate) async fn create(
    caller: InProject<can::KeysManage>,
    repeats: Repeats,
    body: JsonBody<CreateServiceAccount>,
) -> Result<HttpResponse, Failure> {
    let (CreateServiceAccount { name, title }, digest) = body.read_with_digest().await?;
    let wish = ServiceAccountWish { name, title };
    let make = async |keep: &Keep<'_, _>| {
        caller
            .auth
            .create_service_account(caller.proof(), wish, keep)
            .await
    };
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, ServiceAccount>, make)
        .await
}
