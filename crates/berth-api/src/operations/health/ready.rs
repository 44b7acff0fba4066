//! `GET /readyz`

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors};
use crate::extract::Public;
use crate::readiness::Part;

/// Whether the server can take requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether every part can be reached.
    ready: bool,
    /// The parts.
    parts: Vec<Part>,
}

declare_errors!(Errors for Native: []);

/// Whether the server can take requests
///
/// Asks the database and coordination for a sign of life, at most once a second, and names the part that gives none.
#[utoipa::path(
    operation_id = "health_ready",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "The server takes requests.", body = Readiness),
        (status = 503, description = "A part cannot be reached.", body = Readiness),
        Errors
    )
)]
#[get("/readyz")]
pub(crate) async fn show(public: Public) -> Result<HttpResponse, Failure> {
    let parts = public.parts().await;
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok(HttpResponse::build(status).json(Readiness { ready, parts }))
}
