//! `GET /v2/health/live`

use actix_web::get;
use actix_web::web::Json;
use berth_wire::oip::ServerLive;

use crate::errors::{Failure, declare_errors};

declare_errors!(Errors for Oip: []);

/// Whether the server runs
///
/// Asks nothing else.
#[utoipa::path(
    operation_id = "oip_server_live",
    tag = "inference",
    security(()),
    responses((status = 200, description = "The server runs.", body = ServerLive), Errors)
)]
#[get("/v2/health/live")]
pub(crate) async fn show() -> Result<Json<ServerLive>, Failure> {
    Ok(Json(ServerLive { live: true }))
}
