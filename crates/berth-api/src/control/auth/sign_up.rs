//! `POST /api/v1/auth/sign-up`

use actix_web::post;
use berth_auth::accounts::NewAccount;
use berth_domain::name::{Email, Title};
use berth_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::Created;
use crate::control::auth::SessionTokens;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{ClientName, Public, StrangersBody};
use crate::request::RequestContext;

/// Who wants an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUp {
    /// The address to sign in with.
    email: Email,
    /// The password, at least 12 characters.
    password: Secret,
    /// What the person calls themselves.
    #[schema(nullable = false)]
    name: Option<Title>,
    /// The token of an invitation, to be accepted with the new account.
    #[schema(nullable = false)]
    invitation: Option<Secret>,
}

declare_errors!(
    Errors for Native: [groups::BODY],
    SignUpClosed, InvitationRequired, InvitationInvalid, EmailTaken, PasswordRefused, TooManyAttempts, Unavailable,
);

/// Make an account
///
/// As far as the operator lets people make accounts of their own: nobody, whoever was invited, or everyone. Signs in to
/// the new account.
#[utoipa::path(
    operation_id = "auth_sign_up",
    tag = "auth",
    security(()),
    request_body = SignUp,
    responses((status = 201, description = "The account was made.", body = SessionTokens), Errors)
)]
#[post("/api/v1/auth/sign-up")]
pub(crate) async fn sign_up(
    public: Public,
    context: RequestContext,
    client: ClientName,
    body: StrangersBody<SignUp>,
) -> Result<Created<SessionTokens>, Failure> {
    let wanted = body.read().await?;
    let account = NewAccount {
        email: wanted.email,
        password: wanted.password,
        name: wanted.name,
        invitation: wanted.invitation,
        client: client.0,
    };
    let signed_in = public.auth.sign_up(account, context.client_address()).await?;
    Ok(Created(SessionTokens::new(&signed_in, public.clock.now())))
}
