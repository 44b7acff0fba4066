//! `GET /metrics`

use actix_web::{HttpResponse, get};

use crate::errors::{Code, Failure, declare_errors};
use crate::extract::Public;
use crate::frame::Frame;
use crate::request::RequestContext;

declare_errors!(Errors for Native: [], RouteNotFound);

/// Measurements for Prometheus
///
/// In the text format of Prometheus. Answered only to the networks that the operator names.
#[utoipa::path(
    operation_id = "metrics_show",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "The measurements.", body = String, content_type = "text/plain"),
        Errors
    )
)]
#[get("/metrics")]
pub(crate) async fn show(
    public: Public,
    frame: Frame,
    context: RequestContext,
) -> Result<HttpResponse, Failure> {
    if !frame.options().metrics_readers.admits(context.client_address()) {
        return Err(Failure::new(
            Code::RouteNotFound,
            "Nothing is served at `/metrics`.",
        ));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body((public.metrics)()))
}
