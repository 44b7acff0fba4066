//! `GET /v1/models`

use actix_web::get;
use actix_web::web::Json;
use berth_wire::openai::{List, Model};

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::Calling;
use crate::openai::models::model;

declare_errors!(Errors for OpenAi: [groups::CALLER, groups::CALLING]);

/// List the models that the key may call
///
/// By name, all on one page.
#[utoipa::path(
    operation_id = "models_list_callable",
    tag = "inference",
    security(("bearer" = [])),
    responses((status = 200, description = "The models.", body = List<Model>), Errors)
)]
#[get("/v1/models")]
pub(crate) async fn list(caller: Calling) -> Result<Json<List<Model>>, Failure> {
    let listings = caller.inference.router().list(caller.key()).await?;
    let models = listings.iter().map(model).collect();
    Ok(Json(List::new(models, false, |model: &Model| &model.id)))
}
