//! `GET /api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::access::can;
use berth_domain::name::Handle;

use crate::control::paths::ProjectPath;
use crate::control::versions::Version;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, InProject, InQuery};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::TENANT, groups::QUERY]);

/// List the versions of a model
///
/// Failed ones are among them.
#[utoipa::path(
    operation_id = "versions_list",
    tag = "models",
    security(("bearer" = []), ("sign_in" = [])),
    params(ProjectPath, Paging, ("name" = Handle, Path, description = "The name of the model.")),
    responses((status = 200, description = "A page of versions.", body = ListBody<Version>), Errors)
)]
#[get("/api/v1/organizations/{organization_id}/projects/{project_id}/models/{name}/versions")]
pub(crate) async fn list(
    caller: InProject<can::ModelsRead>,
    name: InPath<Handle>,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<Version>>, Failure> {
    let page = paging.0.page()?;
    let list = caller
        .models
        .list_versions(caller.proof(), &name.0, &page)
        .await?;
    Ok(Json(ListBody::of(list)))
}
