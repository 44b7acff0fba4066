//! `GET /readyz`

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors};
use crate::extract::Public;
use crate::services::Services;

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the server can take requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether every part can be reached.
    ready: bool,
    /// The parts.
    parts: Vec<Part>,
}

/// Something that the server needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Its name.
    #[schema(example = "database")]
    name: &'static str,
    /// Whether it can be reached.
    pub(crate) ready: bool,
}

declare_errors!(Errors for Native: []);

/// Whether the server can take requests
///
/// Asks the database and coordination for a sign of life, and names the part that gives none.
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
    let parts = parts(&public).await;
    let ready = parts.iter().all(|part| part.ready);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok(HttpResponse::build(status).json(Readiness { ready, parts }))
}

/// What the server needs, and whether it can be reached.
pub(crate) async fn parts(services: &Services) -> Vec<Part> {
    let (database, coordination) = futures_util::join!(
        answers("database", services.store.check()),
        answers("coordination", services.coordination.check()),
    );
    vec![database, coordination]
}

async fn answers<E: std::error::Error>(
    name: &'static str,
    check: impl Future<Output = Result<(), E>>,
) -> Part {
    let answered = match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(part = name, %error, "not ready");
            false
        }
        Err(_) => {
            tracing::warn!(part = name, "not ready: no answer in time");
            false
        }
    };
    Part {
        name,
        ready: answered,
    }
}
