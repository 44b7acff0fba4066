//! `POST /api/v1/platform/users`

use actix_web::post;
use berth_domain::name::{Email, Title};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Created;
use crate::control::platform::{PasswordLink, User};
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{JsonBody, Operating};

/// Whom to make an account for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateUser {
    /// The address to sign in with.
    email: Email,
    /// What the person calls themselves.
    #[schema(nullable = false)]
    name: Option<Title>,
}

/// An account that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedUser {
    /// The account.
    user: User,
    /// The link to set its first password.
    password_link: PasswordLink,
}

declare_errors!(Errors for Native: [groups::CALLER, groups::OPERATOR, groups::BODY], EmailTaken);

/// Make an account for somebody
///
/// Without a password: a link to set the first one is sent, or given where no mail is set up.
#[utoipa::path(
    operation_id = "platform_create_user",
    tag = "platform",
    security(("bearer" = []), ("sign_in" = [])),
    request_body = CreateUser,
    responses((status = 201, description = "The account.", body = CreatedUser), Errors)
)]
#[post("/api/v1/platform/users")]
pub(crate) async fn create_user(
    caller: Operating,
    body: JsonBody<CreateUser>,
) -> Result<Created<CreatedUser>, Failure> {
    let CreateUser { email, name } = body.read().await?;
    let (user, link) = caller.auth.create_user(caller.proof(), email, name).await?;
    Ok(Created(CreatedUser {
        user: user.into(),
        password_link: link.into(),
    }))
}
