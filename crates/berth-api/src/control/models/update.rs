//! `PATCH /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::{Handle, Title};
use berth_store::models::{ModelChange, Reach};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::models::{Audience, Model};
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, JsonBody};

/// What changes about a model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateModel {
    /// What people read.
    #[schema(nullable = false)]
    title: Option<Title>,
    /// What it is, in prose.
    #[schema(nullable = false)]
    description: Option<String>,
    /// Its licence: an SPDX expression or a name.
    #[schema(nullable = false)]
    license: Option<String>,
    /// Who can see and call it.
    #[schema(nullable = false, inline)]
    visibility: Option<Audience>,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::BODY]);

/// Change what is said of a model, and who can call it
///
/// What is left out stays.
#[utoipa::path(
    operation_id = "models_update",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the model.")),
    request_body = UpdateModel,
    responses((status = 200, description = "The model.", body = Model), Errors)
)]
#[patch("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}")]
pub(crate) async fn update(
    caller: InProject<can::ModelsWrite>,
    name: InPath<Handle>,
    body: JsonBody<UpdateModel>,
) -> Result<Json<Model>, Failure> {
    let wanted = body.read().await?;
    let change = ModelChange {
        title: wanted.title,
        description: wanted.description,
        license: wanted.license,
        reach: wanted.visibility.map(Reach::from),
    };
    let model = caller.models.update(caller.proof(), &name.0, &change).await?;
    Ok(Json(model.into()))
}
