//! `POST /v2/repository/models/{model}/unload`

use actix_web::web::Json;
use actix_web::{HttpRequest, post};
use berth_domain::access::can;
use berth_wire::oip::{RepositoryAnswer, RepositoryRequest};

use super::lenient;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOwnProject, InferenceBody};
use crate::oip::{inventory, models};

declare_errors!(Errors for Oip: [groups::CALLER, groups::CALLING, groups::BODY], ModelNotFound);

/// Let a model serve no longer
///
/// Stops the deployment of this name in the key's project; it keeps its name and can be loaded again. The key needs the scope
/// `deployments.write`. Parameters are passed over.
#[utoipa::path(
    operation_id = "oip_repository_unload",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The deployment.")),
    request_body = RepositoryRequest,
    responses((status = 200, description = "It is stopped.", body = RepositoryAnswer), Errors)
)]
#[post("/v2/repository/models/{model}/unload")]
pub(crate) async fn unload(
    caller: InOwnProject<can::DeploymentsWrite>,
    request: HttpRequest,
    body: InferenceBody,
) -> Result<Json<RepositoryAnswer>, Failure> {
    let _: RepositoryRequest = lenient(body).await?;
    inventory::unload(&caller, caller.proof(), caller.key(), models::name(&request)).await?;
    Ok(Json(RepositoryAnswer {}))
}
