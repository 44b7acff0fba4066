//! Sends clients away from a server that is about to stop: each answer over HTTP/1.1 says that its connection is closed, so that no
//! client sends a request on one that is gone when it arrives.

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;

use crate::frame::Frame;

/// Runs the request inside; see the module.
pub(crate) async fn farewell(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let frame = Frame::of(request.request())?.clone();
    let mut response = next.call(request).await?;
    if frame.is_leaving() {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
