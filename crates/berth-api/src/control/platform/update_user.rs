//! `PATCH /api/v1/platform/users/{user_id}`

use actix_web::patch;
use actix_web::web::Json;
use berth_domain::id::UserId;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::platform::User;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{InPath, JsonBody, Operating};

/// What changes about an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateUser {
    /// Whether the person operates the platform.
    operator: bool,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR, groups::BODY], NotFound, LastOperator);

/// Make somebody an operator, or one no longer
///
/// The last operator cannot go.
#[utoipa::path(
    operation_id = "platform_update_user",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    params(("user_id" = UserId, Path, description = "The person.")),
    request_body = UpdateUser,
    responses((status = 200, description = "The account.", body = User), Errors)
)]
#[patch("/api/v1/platform/users/{user_id}")]
pub(crate) async fn update_user(
    caller: Operating,
    user: InPath<UserId>,
    body: JsonBody<UpdateUser>,
) -> Result<Json<User>, Failure> {
    let UpdateUser { operator } = body.read().await?;
    let user = caller.auth.set_operator(caller.proof(), user.0, operator).await?;
    Ok(Json(user.into()))
}
