//! `POST /api/v1/platform/users/{user_id}/enable`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::id::UserId;

use crate::control::platform::User;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, Operating};

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR], NotFound);

/// Enable an account
///
/// Its person can sign in again. Done again, it changes nothing.
#[utoipa::path(
    operation_id = "platform_enable_user",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(("user_id" = UserId, Path, description = "The person.")),
    responses((status = 200, description = "The account.", body = User), Errors)
)]
#[post("/api/v1/platform/users/{user_id}/enable")]
pub(crate) async fn enable_user(caller: Operating, user: InPath<UserId>) -> Result<Json<User>, Failure> {
    let user = caller.auth.enable_user(caller.proof(), user.0).await?;
    Ok(Json(user.into()))
}
