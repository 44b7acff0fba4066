//! `POST /v2/models/{model}/infer` and `POST /v2/models/{model}/versions/{version}/infer`

use actix_web::{HttpRequest, HttpResponse, post};
use berth_serving::inference::Operation;
use berth_wire::oip::{HEADER_LENGTH, InferRequest, InferResponse};

use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::{Calling, InferenceBody};
use crate::frame::Frame;
use crate::inference::{Wanted, call};
use crate::oip::models::{name, version};
use crate::request::RequestContext;

declare_errors!(
    Errors for Oip: [groups::CALLER, groups::CALLING, groups::BODY, groups::INFERENCE, groups::TENSORS],
);

/// Run a model on tensors
///
/// In the JSON form of the protocol. Datatypes without one (`FP16`, `BF16`) cannot be sent.
#[utoipa::path(
    operation_id = "oip_infer",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.")),
    request_body = InferRequest<'_>,
    responses((status = 200, description = "The outputs.", body = InferResponse), Errors)
)]
#[post("/v2/models/{model}/infer")]
pub(crate) async fn on_model(
    caller: Calling,
    frame: Frame,
    context: RequestContext,
    request: HttpRequest,
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    refuse_binary(&request)?;
    infer(&caller, &frame, &context, (name(&request), None), body).await
}

/// Run one version of a model on tensors
///
/// In the JSON form of the protocol. Datatypes without one (`FP16`, `BF16`) cannot be sent.
#[utoipa::path(
    operation_id = "oip_infer_version",
    tag = "inference",
    security(("bearer" = [])),
    params(
        ("model" = String, Path, description = "The model."),
        ("version" = u32, Path, description = "The number of the version.")
    ),
    request_body = InferRequest<'_>,
    responses((status = 200, description = "The outputs.", body = InferResponse), Errors)
)]
#[post("/v2/models/{model}/versions/{version}/infer")]
pub(crate) async fn on_version(
    caller: Calling,
    frame: Frame,
    context: RequestContext,
    request: HttpRequest,
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    refuse_binary(&request)?;
    let version = version(&request)?;
    infer(&caller, &frame, &context, (name(&request), Some(version)), body).await
}

async fn infer(
    caller: &Calling,
    frame: &Frame,
    context: &RequestContext,
    (model, version): (&str, Option<u32>),
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    let wanted = Wanted {
        operation: Operation::OipInfer,
        model,
        version,
        body: body.read().await?,
    };
    call(caller, frame, context, wanted).await
}

fn refuse_binary(request: &HttpRequest) -> Result<(), Failure> {
    if request.headers().contains_key(HEADER_LENGTH) {
        return Err(Failure::new(
            Code::BinaryTensorsUnsupported,
            "Tensors in binary after the JSON (`inference-header-content-length`) are not taken; send them as JSON.",
        ));
    }
    Ok(())
}
