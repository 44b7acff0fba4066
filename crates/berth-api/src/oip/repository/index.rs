//! `POST /v2/repository/index`

use actix_web::post;
use actix_web::web::Json;
use berth_wire::oip::{IndexEntry, IndexRequest};

use super::lenient;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Calling, InferenceBody};
use crate::oip::inventory;

declare_errors!(Errors for Oip: [groups::CALLER, groups::CALLING, groups::BODY]);

/// Which models there are
///
/// Every version that the key can call, and whether it answers; where the key has the scope `deployments.read`, the stopped
/// deployments of its project as well.
#[utoipa::path(
    operation_id = "oip_repository_index",
    tag = "inference",
    security(("bearer" = [])),
    request_body = IndexRequest,
    responses((status = 200, description = "The versions.", body = Vec<IndexEntry>), Errors)
)]
#[post("/v2/repository/index")]
pub(crate) async fn index(caller: Calling, body: InferenceBody) -> Result<Json<Vec<IndexEntry>>, Failure> {
    let wanted: IndexRequest = lenient(body).await?;
    Ok(Json(inventory::index(&caller, caller.key(), wanted.ready).await?))
}
