//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/api-keys`

use actix_web::{HttpResponse, post};
use berth_auth::api_keys::KeyWish;
use berth_domain::access::can;
use berth_domain::address::AddressList;
use berth_domain::id::ServiceAccountId;
use berth_domain::name::{Handle, Title};
use berth_domain::permission::PermissionSet;
use berth_store::idempotency_keys::Keep;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::api_keys::KeyWithText;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

/// A key that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateApiKey)]
pub(crate) struct CreateKey {
    /// What people read.
    title: Title,
    /// What it may do; at least one.
    scopes: PermissionSet,
    /// The names that it may call; all unless stated.
    #[serde(default)]
    models: Option<Vec<Handle>>,
    /// The networks from which it may be used, in CIDR notation; everywhere unless stated.
    #[serde(default)]
    addresses: AddressList,
    /// When it stops to hold by itself; never unless stated.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
    /// The service account that holds it; the caller unless stated.
    #[serde(default)]
    service_account_id: Option<ServiceAccountId>,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS], PermissionBeyondOwn);

/// Make an API key
///
/// Its text is shown in this answer and never again. A key may do no more than its maker.
#[utoipa::path(
    operation_id = "api_keys_create",
    tag = "projects",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, RepeatHeader),
    request_body = CreateKey,
    responses((status = 201, description = "The key and its text.", body = KeyWithText), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/api-keys")]
pub(crate) async fn create(
    caller: InProject<can::KeysManage>,
    repeats: Repeats,
    body: JsonBody<CreateKey>,
) -> Result<HttpResponse, Failure> {
    let (wanted, digest) = body.read_with_digest().await?;
    let wish = KeyWish {
        title: wanted.title,
        scopes: wanted.scopes,
        models: wanted.models,
        addresses: wanted.addresses,
        expires_at: wanted.expires_at,
        service_account: wanted.service_account_id,
    };
    let make = async |keep: &Keep<'_, _>| caller.auth.create_key(caller.proof(), wish, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, KeyWithText>, make)
        .await
}
