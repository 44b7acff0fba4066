//! Turns failures into the body that the caller's protocol expects, and logs those of the server.

use std::error::Error as _;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

use crate::errors::{Failure, render};
use crate::request::RequestContext;

/// Runs the request inside; see the module.
pub(crate) async fn failures(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?;
    let Some(error) = response.response().error() else {
        return Ok(response);
    };
    let context = RequestContext::of(response.request())?;
    let body = render_error(error, &context);
    let (request, _) = response.into_parts();
    Ok(ServiceResponse::new(request, body))
}

/// The answer to a request that ended in `error`.
pub(super) fn render_error(error: &Error, context: &RequestContext) -> HttpResponse {
    if let Some(failure) = error.as_error::<Failure>() {
        log(failure);
        return render(failure, context.form(), context.id());
    }
    // Nothing here uses the framework's own extractors, so its errors are not expected.
    let failure = Failure::internal(error.to_string());
    log(&failure);
    render(&failure, context.form(), context.id())
}

/// What has a cause on this side is logged with it, once, here: a fault as an error, a part that is away as a warning.
/// Everything else, such as a model that is still being loaded, is told by the request's own line.
fn log(failure: &Failure) {
    let code = failure.code();
    let causes = Causes(failure);
    match (code.status(), failure.source()) {
        (StatusCode::INTERNAL_SERVER_ERROR, Some(_)) => {
            tracing::error!(error.code = code.as_str(), error.causes = %causes, "request failed");
        }
        (status, Some(_)) if status.is_server_error() => {
            tracing::warn!(error.code = code.as_str(), error.causes = %causes, "request could not be answered");
        }
        _ => tracing::debug!(error.code = code.as_str(), "request refused"),
    }
}

/// The causes of an error, outermost first.
struct Causes<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.0.source();
        let mut separator = "";
        while let Some(error) = cause {
            write!(out, "{separator}{error}")?;
            separator = ": ";
            cause = error.source();
        }
        Ok(())
    }
}
