//! `GET /healthz`

use actix_web::get;
use actix_web::web::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::{Failure, declare_errors};

/// That the process runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

declare_errors!(Errors for Native: []);

/// Whether the process runs
///
/// Asks nothing else: a process that answers need not be restarted.
#[utoipa::path(
    operation_id = "health_live",
    tag = "operations",
    security(()),
    responses((status = 200, description = "The process runs.", body = Health), Errors)
)]
#[get("/healthz")]
pub(crate) async fn show() -> Result<Json<Health>, Failure> {
    Ok(Json(Health { status: "ok" }))
}
