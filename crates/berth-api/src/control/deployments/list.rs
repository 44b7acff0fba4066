//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/deployments`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_store::page::List;

use crate::control::deployments::Deployment;
use crate::control::paths::ProjectPath;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the deployments of a project
///
/// Stopped ones are among them. Each says how it stands on the workers.
#[utoipa::path(
    operation_id = "deployments_list",
    tag = "deployments",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging),
    responses((status = 200, description = "A page of deployments.", body = ListBody<Deployment>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/deployments")]
pub(crate) async fn list(
    caller: InProject<can::DeploymentsRead>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Deployment>>, Failure> {
    let list = caller.deployments.list(caller.proof(), &paging.0.page()?).await?;
    let router = caller.inference.router();
    let stand = |deployment| Deployment::standing(router, deployment);
    Ok(Json(ListBody::of(List {
        items: list.items.into_iter().map(stand).collect::<Vec<_>>(),
        has_more: list.has_more,
    })))
}
