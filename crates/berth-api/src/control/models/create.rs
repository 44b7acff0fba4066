//! `POST /api/v1/organizations/{organization_id}/projects/{project_id}/models`

use actix_web::{HttpResponse, post};
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_serving::models::Draft;
use berth_store::idempotency_keys::Keep;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::models::{Audience, Model};
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, JsonBody};
use crate::repeats::{RepeatHeader, Repeats, created};

/// A model that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateModel {
    /// A short name; no two models of a project have the same.
    name: Handle,
    /// What people read.
    #[serde(default)]
    title: Option<Title>,
    /// What it is, in prose.
    #[serde(default)]
    description: String,
    /// Its licence: an SPDX expression or a name.
    #[serde(default)]
    license: Option<String>,
    /// Who can see and call it; its project unless stated.
    #[serde(default)]
    #[schema(inline)]
    visibility: Audience,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY, groups::REPEATS], NameTaken);

/// Make a model without versions
///
/// An upload makes the model by itself; this is for saying more about it first.
#[utoipa::path(
    operation_id = "models_create",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, RepeatHeader),
    request_body = CreateModel,
    responses((status = 201, description = "The model.", body = Model), Errors)
)]
#[post("/api/v1/organizations/{organization_id}/projects/{project_id}/models")]
pub(crate) async fn create(
    caller: InProject<can::ModelsWrite>,
    repeats: Repeats,
    body: JsonBody<CreateModel>,
) -> Result<HttpResponse, Failure> {
    let (wanted, digest) = body.read_with_digest().await?;
    let draft = Draft {
        name: wanted.name,
        title: wanted.title,
        description: wanted.description,
        license: wanted.license,
        reach: wanted.visibility.into(),
    };
    let make = async |keep: &Keep<'_, _>| caller.models.create(caller.proof(), draft, keep).await;
    repeats
        .of(&caller, &[&digest])
        .answer(created::<_, Model>, make)
        .await
}
