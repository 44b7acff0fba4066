//! `GET /v2/models/{model}/ready` and `GET /v2/models/{model}/versions/{version}/ready`

use actix_web::web::Json;
use actix_web::{HttpRequest, get};
use berth_serving::inference;
use berth_wire::oip::ModelReady;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Calling;
use crate::oip::models::{name, version};

declare_errors!(Errors for Oip: [groups::CALLER, groups::CALLING], ModelNotFound, ModelNotReady, ModelFailedToLoad);

/// Whether a model answers now
///
/// Clients look at the status alone.
#[utoipa::path(
    operation_id = "oip_model_ready",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.")),
    responses((status = 200, description = "The model answers.", body = ModelReady), Errors)
)]
#[get("/v2/models/{model}/ready")]
pub(crate) async fn of_model(caller: Calling, request: HttpRequest) -> Result<Json<ModelReady>, Failure> {
    ready(&caller, name(&request), None).await
}

/// Whether one version of a model answers now
///
/// Clients look at the status alone.
#[utoipa::path(
    operation_id = "oip_model_version_ready",
    tag = "inference",
    security(("bearer" = [])),
    params(
        ("model" = String, Path, description = "The model."),
        ("version" = u32, Path, description = "The number of the version.")
    ),
    responses((status = 200, description = "The version answers.", body = ModelReady), Errors)
)]
#[get("/v2/models/{model}/versions/{version}/ready")]
pub(crate) async fn of_version(caller: Calling, request: HttpRequest) -> Result<Json<ModelReady>, Failure> {
    ready(&caller, name(&request), Some(version(&request)?)).await
}

async fn ready(caller: &Calling, model: &str, version: Option<u32>) -> Result<Json<ModelReady>, Failure> {
    let found = caller.inference.describe(caller.key(), model, version).await?;
    match found.absence {
        None => Ok(Json(ModelReady {
            name: model.to_owned(),
            ready: true,
        })),
        Some(absence) => Err(inference::Error::NotReady(absence).into()),
    }
}
