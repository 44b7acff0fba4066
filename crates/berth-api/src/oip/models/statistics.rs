//! `GET /v2/models/stats`, `GET /v2/models/{model}/stats` and `GET /v2/models/{model}/versions/{version}/stats`

use actix_web::web::Json;
use actix_web::{HttpRequest, get};
use berth_wire::oip::Statistics;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Calling;
use crate::oip::describe;
use crate::oip::models::{name, version};

declare_errors!(Errors for Oip: [groups::CALLER, groups::CALLING], ModelNotFound);

/// How often and for how long all models ran
///
/// The calls of the key's project to this server, since it began.
#[utoipa::path(
    operation_id = "oip_statistics",
    tag = "inference",
    security(("bearer" = [])),
    responses((status = 200, description = "Each version.", body = Statistics), Errors)
)]
#[get("/v2/models/stats")]
pub(crate) async fn of_all(caller: Calling) -> Result<Json<Statistics>, Failure> {
    let told = describe::statistics(&caller.inference, caller.key(), None);
    Ok(Json(told.await?))
}

/// How often and for how long a model ran
///
/// The calls of the key's project to this server, since it began.
#[utoipa::path(
    operation_id = "oip_model_statistics",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.")),
    responses((status = 200, description = "Each version of the model.", body = Statistics), Errors)
)]
#[get("/v2/models/{model}/stats")]
pub(crate) async fn of_model(caller: Calling, request: HttpRequest) -> Result<Json<Statistics>, Failure> {
    let told = describe::statistics(&caller.inference, caller.key(), Some((name(&request), None)));
    Ok(Json(told.await?))
}

/// How often and for how long one version of a model ran
///
/// The calls of the key's project to this server, since it began.
#[utoipa::path(
    operation_id = "oip_model_version_statistics",
    tag = "inference",
    security(("bearer" = [])),
    params(
        ("model" = String, Path, description = "The model."),
        ("version" = u32, Path, description = "The number of the version.")
    ),
    responses((status = 200, description = "The version.", body = Statistics), Errors)
)]
#[get("/v2/models/{model}/versions/{version}/stats")]
pub(crate) async fn of_version(caller: Calling, request: HttpRequest) -> Result<Json<Statistics>, Failure> {
    let wanted = Some((name(&request), Some(version(&request)?)));
    let told = describe::statistics(&caller.inference, caller.key(), wanted);
    Ok(Json(told.await?))
}
