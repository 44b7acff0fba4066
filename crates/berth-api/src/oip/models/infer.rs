//! `POST /v2/models/{model}/infer` and `POST /v2/models/{model}/versions/{version}/infer`

use actix_web::{HttpRequest, HttpResponse, post};
use berth_serving::inference::Operation;
use berth_wire::oip::{HEADER_LENGTH, InferRequest, InferResponse};
use utoipa::ToSchema;

use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::{Calling, InferenceBody};
use crate::frame::Frame;
use crate::inference::{Wanted, call};
use crate::oip::models::{name, version};
use crate::request::RequestContext;

declare_errors!(
    Errors for Oip: [groups::CALLER, groups::CALLING, groups::BODY, groups::INFERENCE, groups::TENSORS],
    HeaderInvalid,
);

/// JSON, and after it the tensors that are in binary: little-endian, in their order, without padding.
#[derive(ToSchema)]
#[schema(as = OipBinaryBody, value_type = String, format = Binary)]
#[expect(dead_code, reason = "it stands in the description of the API alone")]
struct BinaryBody(Vec<u8>);

/// Run a model on tensors
///
/// As JSON, or with tensors in binary after the JSON (`application/octet-stream`, with the header
/// `inference-header-content-length`), as the request says for each input and output. `FP16` and `BF16` have no JSON form.
#[utoipa::path(
    operation_id = "oip_infer",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The model.")),
    request_body(content((InferRequest<'_> = "application/json"), (BinaryBody = "application/octet-stream"))),
    responses((
        status = 200,
        description = "The outputs.",
        content((InferResponse = "application/json"), (BinaryBody = "application/octet-stream")),
        headers(("inference-header-content-length" = u64, description = "How many bytes are JSON, where tensors follow in binary."))
    ), Errors)
)]
#[post("/v2/models/{model}/infer")]
pub(crate) async fn on_model(
    caller: Calling,
    frame: Frame,
    context: RequestContext,
    request: HttpRequest,
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    infer(&caller, &frame, &context, (&request, None), body).await
}

/// Run one version of a model on tensors
///
/// As JSON, or with tensors in binary after the JSON (`application/octet-stream`, with the header
/// `inference-header-content-length`), as the request says for each input and output. `FP16` and `BF16` have no JSON form.
#[utoipa::path(
    operation_id = "oip_infer_version",
    tag = "inference",
    security(("bearer" = [])),
    params(
        ("model" = String, Path, description = "The model."),
        ("version" = u32, Path, description = "The number of the version.")
    ),
    request_body(content((InferRequest<'_> = "application/json"), (BinaryBody = "application/octet-stream"))),
    responses((
        status = 200,
        description = "The outputs.",
        content((InferResponse = "application/json"), (BinaryBody = "application/octet-stream")),
        headers(("inference-header-content-length" = u64, description = "How many bytes are JSON, where tensors follow in binary."))
    ), Errors)
)]
#[post("/v2/models/{model}/versions/{version}/infer")]
pub(crate) async fn on_version(
    caller: Calling,
    frame: Frame,
    context: RequestContext,
    request: HttpRequest,
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    let version = version(&request)?;
    infer(&caller, &frame, &context, (&request, Some(version)), body).await
}

async fn infer(
    caller: &Calling,
    frame: &Frame,
    context: &RequestContext,
    (request, version): (&HttpRequest, Option<u32>),
    body: InferenceBody,
) -> Result<HttpResponse, Failure> {
    let wanted = Wanted {
        operation: Operation::OipInfer,
        model: name(request),
        version,
        header_bytes: header_bytes(request)?,
        body: body.read().await?,
    };
    call(caller, frame, context, wanted).await
}

/// How many bytes of the body are JSON, where tensors follow in binary.
fn header_bytes(request: &HttpRequest) -> Result<Option<u64>, Failure> {
    let Some(value) = request.headers().get(HEADER_LENGTH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse());
    match number {
        Some(Ok(bytes)) => Ok(Some(bytes)),
        _ => Err(Failure::new(
            Code::HeaderInvalid,
            format!("The header `{HEADER_LENGTH}` is the number of bytes of the JSON; a number is wanted."),
        )),
    }
}
