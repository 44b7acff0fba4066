//! `POST /api/v1/platform/models/{model_id}/publish`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::id::ModelId;

use crate::control::models::Model;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Publish a model to every organization
///
/// Its deployments can be called by every organization. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "platform_publish_model",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(("model_id" = ModelId, Path, description = "The model.")),
    responses((status = 200, description = "The model.", body = Model), Errors)
)]
#[post("/api/v1/platform/models/{model_id}/publish")]
pub(crate) async fn publish_model(caller: Operating, model: InPath<ModelId>) -> Result<Json<Model>, Failure> {
    let model = caller.models.publish(caller.proof(), model.0, true).await?;
    Ok(Json(model.into()))
}
