//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}/ready`

use std::time::Duration;

use actix_web::http::header::{ACCEPT, CACHE_CONTROL};
use actix_web::web::{Bytes, Json};
use actix_web::{Either, HttpRequest, HttpResponse, get};
use berth_domain::access::can;
use berth_domain::deployment::State;
use berth_domain::name::Handle;
use berth_serving::deployments::standing;
use berth_serving::routing::{Router, Standing};
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject};

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_millis(200);

/// How often something is sent although nothing changed, so that nobody on the way takes the connection for dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How long a stream lasts at most.
const LONGEST: Duration = Duration::from_mins(10);

/// How far a deployment is.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Whether every version answers.
    ready: bool,
    /// How it stands.
    state: State,
    /// Why it is no further, in words; null where there is nothing to say.
    #[schema(required)]
    reason: Option<String>,
}

impl From<Standing> for Readiness {
    fn from(Standing { state, reason }: Standing) -> Self {
        Self {
            ready: state == State::Ready,
            state,
            reason,
        }
    }
}

impl Readiness {
    /// Whether it goes no further by itself.
    const fn is_final(&self) -> bool {
        matches!(self.state, State::Ready | State::Failed | State::Stopped)
    }

    fn event(&self) -> Bytes {
        let data = serde_json::to_string(self).unwrap_or_default();
        Bytes::from(format!("event: state\ndata: {data}\n\n"))
    }
}

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT]);

/// Show whether a deployment is ready
///
/// With `Accept: text/event-stream` each change is told as an event `state` with the same body, until it is ready, has failed or is
/// stopped.
#[utoipa::path(
    operation_id = "deployments_ready",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, ("name" = Handle, Path, description = "The name of the deployment.")),
    responses((status = 200, description = "How far it is.", body = Readiness), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments/{name}/ready")]
pub(crate) async fn ready(
    caller: InProject<can::DeploymentsRead>,
    name: InPath<Handle>,
    request: HttpRequest,
) -> Result<Either<Json<Readiness>, HttpResponse>, Failure> {
    let deployment = caller.deployments.show(caller.proof(), &name.0).await?;
    let router = caller.inference.router().clone();
    let accepted = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if !accepted.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(Either::Left(Json(standing(&router, &deployment).into())));
    }
    Ok(Either::Right(
        HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((CACHE_CONTROL, "no-store"))
            .streaming(events(router, deployment)),
    ))
}

/// The events of a deployment as it was when they were asked for.
fn events(
    router: Router,
    deployment: berth_store::deployments::Deployment,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let end = Instant::now() + LONGEST;
    stream::unfold(None, move |told: Option<Readiness>| {
        let (router, deployment) = (router.clone(), deployment.clone());
        async move {
            if told.as_ref().is_some_and(Readiness::is_final) || Instant::now() >= end {
                return None;
            }
            let silent_since = Instant::now();
            loop {
                let now = Readiness::from(standing(&router, &deployment));
                if told.as_ref() != Some(&now) {
                    return Some((Ok(now.event()), Some(now)));
                }
                if silent_since.elapsed() >= SIGN_OF_LIFE {
                    return Some((Ok(Bytes::from_static(b": \n\n")), Some(now)));
                }
                sleep(LOOK).await;
            }
        }
    })
}
