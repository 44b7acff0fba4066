//! `GET /api/v1/platform/users`

use actix_web::get;
use actix_web::web::Json;

use crate::control::platform::User;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InQuery, Operating};
use crate::list::{ListBody, Paging};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR, groups::QUERY]);

/// List all people
///
/// Disabled ones are among them.
#[utoipa::path(
    operation_id = "platform_list_users",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(Paging),
    responses((status = 200, description = "A page of people.", body = ListBody<User>), Errors)
)]
#[get("/api/v1/platform/users")]
pub(crate) async fn list_users(
    caller: Operating,
    paging: InQuery<Paging>,
) -> Result<Json<ListBody<User>>, Failure> {
    let list = caller.auth.list_users(caller.proof(), &paging.0.page()?).await?;
    Ok(Json(ListBody::of(list)))
}
