//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/requests/{request_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::id::RequestId;
use berth_domain::trail::Trail;

use crate::control::paths::ProjectPath;
use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show the way of a request
///
/// The whole way of one inference request that a key of the project has made: which runners were asked and how they were
/// reached, how long each stage took, and what came of it. Each node of the installation remembers its latest requests, some
/// thousands, until it is started anew.
#[utoipa::path(
    operation_id = "requests_show",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(
        ProjectPath,
        ("request_id" = String, Path, description = "The id that the answer's header `x-request-id` told.")
    ),
    responses((status = 200, description = "The way.", body = Trail), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/requests/{request_id}")]
pub(crate) async fn show(
    caller: InProject<can::DeploymentsRead>,
    request: InPath<RequestId>,
) -> Result<Json<Trail>, Failure> {
    let found = caller.inference.trails().find(&request.0.to_string()).await;
    let trail = found.map_err(|error| Failure::of(Code::Unavailable).source(error))?;
    let (organization, project) = (caller.proof().organization(), caller.proof().project());
    trail
        .filter(|trail| (trail.organization_id, trail.project_id) == (organization, project))
        .map(Json)
        .ok_or_else(|| Failure::of(Code::NotFound))
}
