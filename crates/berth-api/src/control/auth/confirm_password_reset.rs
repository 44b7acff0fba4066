//! `POST /api/v1/auth/password-resets/confirm`

use actix_web::post;
use berth_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::NoContent;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Public, StrangersBody};
use crate::request::RequestContext;

/// The token of the link, and the new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmPasswordReset {
    /// The token of the link.
    token: Secret,
    /// The new password, at least 12 characters.
    new_password: Secret,
}

declare_errors!(
    Errors for Native: [groups::BODY],
    PasswordLinkInvalid, PasswordRefused, TooManyAttempts, Unavailable,
);

/// Set a new password
///
/// By the token of a link. Ends every session of the account.
#[utoipa::path(
    operation_id = "auth_confirm_password_reset",
    tag = "auth",
    security(()),
    request_body = ConfirmPasswordReset,
    responses((status = 204, description = "The password was set."), Errors)
)]
#[post("/api/v1/auth/password-resets/confirm")]
pub(crate) async fn confirm_password_reset(
    public: Public,
    context: RequestContext,
    body: StrangersBody<ConfirmPasswordReset>,
) -> Result<NoContent, Failure> {
    let wanted = body.read().await?;
    let address = context.client_address();
    public
        .auth
        .reset_password(&wanted.token, &wanted.new_password, address)
        .await?;
    Ok(NoContent)
}
