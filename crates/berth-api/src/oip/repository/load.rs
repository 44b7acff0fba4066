//! `POST /v2/repository/models/{model}/load`

use actix_web::web::Json;
use actix_web::{HttpRequest, post};
use berth_domain::access::can;
use berth_wire::oip::{RepositoryAnswer, RepositoryRequest};

use super::lenient;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InOwnProject, InferenceBody};
use crate::frame::Frame;
use crate::oip::{inventory, models};
use crate::request::RequestContext;

declare_errors!(
    Errors for Oip: [groups::CALLER, groups::CALLING, groups::BODY],
    ModelNotFound, ModelNotReady, ModelFailedToLoad, VersionNotReady, UnsupportedParameter,
);

/// Let a model serve
///
/// Resumes the deployment of this name in the key's project, or makes it of the model of this name there, and waits until it
/// answers. The key needs the scope `deployments.write`.
#[utoipa::path(
    operation_id = "oip_repository_load",
    tag = "inference",
    security(("bearer" = [])),
    params(("model" = String, Path, description = "The deployment or model.")),
    request_body = RepositoryRequest,
    responses((status = 200, description = "It answers.", body = RepositoryAnswer), Errors)
)]
#[post("/v2/repository/models/{model}/load")]
pub(crate) async fn load(
    caller: InOwnProject<can::DeploymentsWrite>,
    frame: Frame,
    context: RequestContext,
    request: HttpRequest,
    body: InferenceBody,
) -> Result<Json<RepositoryAnswer>, Failure> {
    let wanted: RepositoryRequest = lenient(body).await?;
    let parameters = wanted.parameters.unwrap_or_default();
    inventory::refuse_parameters(parameters.keys().map(String::as_str))?;
    let patience = frame
        .options()
        .inference_timeout
        .saturating_sub(context.started().elapsed());
    let model = models::name(&request);
    inventory::load(&caller, caller.proof(), caller.key(), model, patience).await?;
    Ok(Json(RepositoryAnswer {}))
}
