//! `GET /v1/models/{model}`

use actix_web::web::Json;
use actix_web::{HttpRequest, get};
use berth_wire::openai::Model;

use crate::errors::{Failure, declare_errors, groups, model_not_found};
use crate::extract::Calling;
use crate::openai::models::model;

declare_errors!(Errors for OpenAi: [groups::CALLER, groups::CALLING], ModelNotFound);

/// Show a model that the key may call
///
/// By its name, as in requests.
#[utoipa::path(
    operation_id = "models_show_callable",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.", example = "all-minilm-l6-v2")),
    responses((status = 200, description = "The model.", body = Model), Errors)
)]
#[get("/v1/models/{model}")]
pub(crate) async fn show(caller: Calling, request: HttpRequest) -> Result<Json<Model>, Failure> {
    let name = request.match_info().query("model");
    let listings = caller.inference.router().list(caller.key()).await?;
    let found = listings.iter().find(|listing| listing.name.as_str() == name);
    found
        .map(|listing| Json(model(listing)))
        .ok_or_else(|| model_not_found(name))
}
