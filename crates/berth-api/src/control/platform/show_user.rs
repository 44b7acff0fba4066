//! `GET /api/v1/platform/users/{user_id}`

use actix_web::get;
use actix_web::web::Json;
use berth_domain::id::UserId;

use crate::control::platform::User;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Show a person
///
/// As operators see people.
#[utoipa::path(
    operation_id = "platform_show_user",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(("user_id" = UserId, Path, description = "The person.")),
    responses((status = 200, description = "The account.", body = User), Errors)
)]
#[get("/api/v1/platform/users/{user_id}")]
pub(crate) async fn show_user(caller: Operating, user: InPath<UserId>) -> Result<Json<User>, Failure> {
    let user = caller.auth.show_user(caller.proof(), user.0).await?;
    Ok(Json(user.into()))
}
