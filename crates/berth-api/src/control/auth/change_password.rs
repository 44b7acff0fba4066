//! `POST /api/v1/auth/password`

use actix_web::post;
use berth_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::NoContent;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{JsonBody, SignedIn};

/// The old and the new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePassword {
    /// The present password.
    current_password: Secret,
    /// The new password, at least 12 characters.
    new_password: Secret,
}

declare_errors!(
    Errors for Native: [groups::CALLER, groups::PERSON, groups::BODY],
    PasswordWrong, PasswordRefused,
);

/// Change the password
///
/// Ends all other sessions of the account.
#[utoipa::path(
    operation_id = "auth_change_password",
    tag = "auth",
    security(("bearer" = []), ("sign_in" = [])),
    request_body = ChangePassword,
    responses((status = 204, description = "The password was changed."), Errors)
)]
#[post("/api/v1/auth/password")]
pub(crate) async fn change_password(
    caller: SignedIn,
    body: JsonBody<ChangePassword>,
) -> Result<NoContent, Failure> {
    let wanted = body.read().await?;
    let (present, new) = (&wanted.current_password, &wanted.new_password);
    caller.auth.change_password(caller.person(), present, new).await?;
    Ok(NoContent)
}
