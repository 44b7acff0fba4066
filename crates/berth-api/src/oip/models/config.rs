//! `GET /v2/models/{model}/config` and `GET /v2/models/{model}/versions/{version}/config`

use actix_web::web::Json;
use actix_web::{HttpRequest, get};
use berth_wire::oip::ModelConfig;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Calling;
use crate::oip::describe;
use crate::oip::models::{name, version};

declare_errors!(Errors for Oip: [groups::CALLER, groups::CALLING], ModelNotFound);

/// How a model is set up
///
/// As Triton tells it, as far as there is something to tell.
#[utoipa::path(
    operation_id = "oip_model_config",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.")),
    responses((status = 200, description = "The model.", body = ModelConfig), Errors)
)]
#[get("/v2/models/{model}/config")]
pub(crate) async fn of_model(caller: Calling, request: HttpRequest) -> Result<Json<ModelConfig>, Failure> {
    let told = describe::config(&caller.inference, caller.key(), name(&request), None);
    Ok(Json(told.await?))
}

/// How one version of a model is set up
///
/// As Triton tells it, as far as there is something to tell.
#[utoipa::path(
    operation_id = "oip_model_version_config",
    tag = "inference",
    security(("bearer" = [])),
    params(
        ("model" = String, Path, description = "The model."),
        ("version" = u32, Path, description = "The number of the version.")
    ),
    responses((status = 200, description = "The model.", body = ModelConfig), Errors)
)]
#[get("/v2/models/{model}/versions/{version}/config")]
pub(crate) async fn of_version(caller: Calling, request: HttpRequest) -> Result<Json<ModelConfig>, Failure> {
    let version = version(&request)?;
    let told = describe::config(&caller.inference, caller.key(), name(&request), Some(version));
    Ok(Json(told.await?))
}
