//! `GET /v1/models/{model}`

use actix_web::web::Json;
use actix_web::{HttpRequest, get};
use berth_wire::openai::Model;

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Calling;

declare_errors!(Errors for OpenAi: [groups::CALLER, groups::CALLING], ModelNotFound);

/// Show a model that the key may call
///
/// By its name as in requests, so also `name@2` for one version.
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
    let router = caller.inference.router();
    let target = router.resolve(caller.key(), name, None).await?;
    let callable = target.callable();
    Ok(Json(Model::new(
        name,
        callable.created_at.timestamp(),
        callable.organization_name.as_str(),
    )))
}
