//! `POST /v1/embeddings`

use actix_web::{HttpResponse, post};
use berth_serving::inference::Operation;
use berth_wire::openai::{EmbeddingsRequest, EmbeddingsResponse};

use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Calling, InferenceBody};
use crate::frame::Frame;
use crate::inference::{Wanted, call};
use crate::openai::routing::model_of;
use crate::request::RequestContext;

declare_errors!(
    Errors for OpenAi: [groups::CALLER, groups::CALLING, groups::BODY, groups::INFERENCE, groups::TEXTS],
);

/// Turn texts into vectors
///
/// `model` names a deployment, or `name@number` one version of it. The vectors come in the order of the input.
#[utoipa::path(
    operation_id = "embeddings_create",
    tag = "inference",
    security(("bearer" = [])),
    request_body = EmbeddingsRequest,
    responses((status = 200, description = "The vectors.", body = EmbeddingsResponse), Errors)
)]
#[post("/v1/embeddings")]
pub(crate) async fn create(
    caller: Calling,
    frame: Frame,
    context: RequestContext,
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    let body = body.read().await?;
    let model = model_of(&body)?.into_owned();
    let wanted = Wanted {
        operation: Operation::Embeddings,
        model: &model,
        version: None,
        body,
        header_bytes: None,
    };
    call(&caller, &frame, &context, wanted).await
}
