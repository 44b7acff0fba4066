//! `POST /api/v1/auth/sign-in`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::name::Email;
use berth_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::auth::SessionTokens;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{ClientName, Public, StrangersBody};
use crate::request::RequestContext;

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// The address of the account.
    email: Email,
    /// Its password.
    password: Secret,
}

declare_errors!(
    Errors for Native: [groups::BODY],
    SignInFailed, AccountDisabled, TooManyAttempts, Unavailable,
);

/// Sign in
///
/// Gives an access token for some minutes, and a refresh token that gives the next pair, once.
#[utoipa::path(
    operation_id = "auth_sign_in",
    tag = "auth",
    security(()),
    request_body = SignIn,
    responses((status = 200, description = "The person is signed in.", body = SessionTokens), Errors)
)]
#[post("/api/v1/auth/sign-in")]
pub(crate) async fn sign_in(
    public: Public,
    context: RequestContext,
    client: ClientName,
    body: StrangersBody<SignIn>,
) -> Result<Json<SessionTokens>, Failure> {
    let SignIn { email, password } = body.read().await?;
    let client = client.0.as_deref();
    let signed_in = public
        .auth
        .sign_in(&email, &password, client, context.client_address())
        .await?;
    Ok(Json(SessionTokens::new(&signed_in, public.clock.now())))
}
