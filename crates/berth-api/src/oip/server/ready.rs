//! `GET /v2/health/ready`

use actix_web::get;
use actix_web::web::Json;
use berth_wire::oip::ServerReady;

use crate::errors::{Code, Failure, declare_errors};
use crate::extract::Public;

declare_errors!(Errors for Oip: [], Unavailable);

/// Whether the server takes requests
///
/// The same as `/readyz`.
#[utoipa::path(
    operation_id = "oip_server_ready",
    tag = "inference",
    security(()),
    responses((status = 200, description = "The server takes requests.", body = ServerReady), Errors)
)]
#[get("/v2/health/ready")]
pub(crate) async fn show(public: Public) -> Result<Json<ServerReady>, Failure> {
    if public.readiness().await.ready {
        Ok(Json(ServerReady { ready: true }))
    } else {
        Err(Failure::of(Code::Unavailable))
    }
}
