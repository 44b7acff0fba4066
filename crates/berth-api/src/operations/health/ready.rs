//! `GET /readyz`

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get};

use crate::errors::{Failure, declare_errors};
use crate::extract::Public;
use crate::readiness::Report;

declare_errors!(Errors for Native: []);

/// Whether the server can take requests
///
/// Asks the database and coordination for a sign of life, at most once a second, and names the part that gives none. A
/// server is ready once both have answered, and from then on while one of them does: without the other it goes on with
/// what it knows, and says that it is degraded.
#[utoipa::path(
    operation_id = "health_ready",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "The server takes requests.", body = Report),
        (status = 503, description = "No part can be reached, not all of them could be so far, or the server is about to stop.", body = Report),
        Errors
    )
)]
#[get("/readyz")]
pub(crate) async fn show(public: Public) -> Result<HttpResponse, Failure> {
    let report = public.readiness().await;
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok(HttpResponse::build(status).json(report))
}
