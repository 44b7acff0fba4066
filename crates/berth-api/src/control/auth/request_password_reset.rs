//! `POST /api/v1/auth/password-resets`

use actix_web::post;
use berth_domain::name::Email;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::Accepted;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Public, StrangersBody};
use crate::request::RequestContext;

/// Whose password was forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestPasswordReset {
    /// The address of the account.
    email: Email,
}

declare_errors!(Errors for Native: [groups::BODY], TooManyAttempts, Unavailable);

/// Ask for a link to set a new password
///
/// Sends the link by mail. The answer is the same whether there is such an account or not. Where no mail is set up,
/// an operator gives the link.
#[utoipa::path(
    operation_id = "auth_request_password_reset",
    tag = "auth",
    security(()),
    request_body = RequestPasswordReset,
    responses((status = 202, description = "If there is such an account, a link is on its way."), Errors)
)]
#[post("/api/v1/auth/password-resets")]
pub(crate) async fn request_password_reset(
    public: Public,
    context: RequestContext,
    body: StrangersBody<RequestPasswordReset>,
) -> Result<Accepted, Failure> {
    let RequestPasswordReset { email } = body.read().await?;
    public
        .auth
        .request_password_reset(&email, context.client_address())
        .await?;
    Ok(Accepted)
}
