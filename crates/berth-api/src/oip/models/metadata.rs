//! `GET /v2/models/{model}` and `GET /v2/models/{model}/versions/{version}`

use actix_web::web::Json;
use actix_web::{HttpRequest, get};
use berth_wire::oip::ModelMetadata;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Calling;
use crate::oip::describe;
use crate::oip::models::{name, version};

declare_errors!(Errors for Oip: [groups::CALLER, groups::CALLING], ModelNotFound);

/// What a model takes and gives
///
/// The names, types and shapes of its inputs and outputs, and the versions that can be asked for.
#[utoipa::path(
    operation_id = "oip_model_metadata",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.")),
    responses((status = 200, description = "The model.", body = ModelMetadata), Errors)
)]
#[get("/v2/models/{model}")]
pub(crate) async fn of_model(caller: Calling, request: HttpRequest) -> Result<Json<ModelMetadata>, Failure> {
    metadata(&caller, name(&request), None).await
}

/// What one version of a model takes and gives
///
/// The names, types and shapes of its inputs and outputs, and the versions that can be asked for.
#[utoipa::path(
    operation_id = "oip_model_version_metadata",
    tag = "inference",
    security(("bearer" = [])),
    params(
        ("model" = String, Path, description = "The model."),
        ("version" = u32, Path, description = "The number of the version.")
    ),
    responses((status = 200, description = "The model.", body = ModelMetadata), Errors)
)]
#[get("/v2/models/{model}/versions/{version}")]
pub(crate) async fn of_version(
    caller: Calling,
    request: HttpRequest,
) -> Result<Json<ModelMetadata>, Failure> {
    metadata(&caller, name(&request), Some(version(&request)?)).await
}

async fn metadata(
    caller: &Calling,
    model: &str,
    version: Option<u32>,
) -> Result<Json<ModelMetadata>, Failure> {
    Ok(Json(
        describe::metadata(&caller.inference, caller.key(), model, version).await?,
    ))
}
