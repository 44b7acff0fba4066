//! `POST /api/v1/platform/models/{model_id}/unpublish`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::id::ModelId;

use crate::control::models::Model;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Withdraw a published model
///
/// Other organizations can no longer call it. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "platform_unpublish_model",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(("model_id" = ModelId, Path, description = "The model.")),
    responses((status = 200, description = "The model.", body = Model), Errors)
)]
#[post("/api/v1/platform/models/{model_id}/unpublish")]
pub(crate) async fn unpublish_model(
    caller: Operating,
    model: InPath<ModelId>,
) -> Result<Json<Model>, Failure> {
    let model = caller.models.publish(caller.proof(), model.0, false).await?;
    Ok(Json(model.into()))
}
