//! `GET /metrics`

use actix_web::{HttpRequest, HttpResponse, get};

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
    request: HttpRequest,
) -> Result<HttpResponse, Failure> {
    let admitted = frame.options().metrics_readers.admits(context.client_address());
    if !admitted || is_passed_on_by_a_stranger(&request, &frame) {
        return Err(Failure::new(
            Code::RouteNotFound,
            "Nothing is served at `/metrics`.",
        ));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body((public.metrics)()))
}

/// Whether a proxy stands in between that the settings do not name: then nobody knows who really asks, and the address
/// that is seen is that of the proxy, which may be admitted.
fn is_passed_on_by_a_stranger(request: &HttpRequest, frame: &Frame) -> bool {
    let passed_on = ["x-forwarded-for", "forwarded", "via", "x-real-ip"]
        .iter()
        .any(|name| request.headers().contains_key(*name));
    let trusted = request.peer_addr().is_some_and(|peer| {
        let peer = peer.ip().to_canonical();
        let mut proxies = frame.options().trusted_proxies.iter();
        proxies.any(|network| network.contains(&peer))
    });
    passed_on && !trusted
}
