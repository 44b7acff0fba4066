//! `GET /v2`

use actix_web::get;
use actix_web::web::Json;
use berth_wire::oip::ServerMetadata;

use crate::errors::{Failure, declare_errors};
use crate::oip::describe;

declare_errors!(Errors for Oip: []);

/// What the server is
///
/// Its name, its version, and the extensions of the protocol that it speaks.
#[utoipa::path(
    operation_id = "oip_server_metadata",
    tag = "inference",
    security(()),
    responses((status = 200, description = "The server.", body = ServerMetadata), Errors)
)]
#[get("/v2")]
pub(crate) async fn metadata() -> Result<Json<ServerMetadata>, Failure> {
    Ok(Json(describe::server()))
}
