//! `GET /openapi.json`

use actix_web::{HttpResponse, get};

use crate::errors::{Code, Failure, declare_errors};
use crate::frame::Frame;

declare_errors!(Errors for Native: [], RouteNotFound);

/// This description
///
/// Everything that the server answers, as an OpenAPI 3.1 document.
#[utoipa::path(
    operation_id = "documents_openapi",
    tag = "operations",
    security(()),
    responses((status = 200, description = "The document.", body = serde_json::Value), Errors)
)]
#[get("/openapi.json")]
pub(crate) async fn openapi(frame: Frame) -> Result<HttpResponse, Failure> {
    if !frame.options().documentation {
        return Err(Failure::new(
            Code::RouteNotFound,
            "This server does not serve its description.",
        ));
    }
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(frame.document()))
}
