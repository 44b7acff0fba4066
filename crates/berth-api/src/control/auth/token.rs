//! `POST /api/v1/auth/token`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::name::Email;
use berth_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::auth::SessionTokens;
use crate::errors::{Code, Failure, declare_errors, groups};
use crate::extract::{ClientName, FormBody, Public};
use crate::request::RequestContext;

/// A token request of OAuth 2.0 (RFC 6749). Other fields of the standard are accepted and not used.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TokenRequest {
    /// `password`, or `refresh_token`.
    #[schema(example = "password")]
    grant_type: String,
    /// The address of the account, for `password`.
    #[schema(nullable = false)]
    username: Option<String>,
    /// Its password, for `password`.
    #[schema(nullable = false)]
    password: Option<Secret>,
    /// The refresh token, for `refresh_token`.
    #[schema(nullable = false)]
    refresh_token: Option<Secret>,
}

declare_errors!(
    Errors for Native: [groups::BODY],
    SignInFailed, RefreshTokenInvalid, RefreshTokenReused, AccountDisabled, TooManyAttempts, Unavailable,
);

/// Sign in or refresh, as OAuth 2.0
///
/// The same as signing in and refreshing, in the form that OAuth clients send. *Authorize* on the pages at `/docs` uses it.
#[utoipa::path(
    operation_id = "auth_token",
    tag = "auth",
    security(()),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The person is signed in.", body = SessionTokens), Errors)
)]
#[post("/api/v1/auth/token")]
pub(crate) async fn token(
    public: Public,
    context: RequestContext,
    client: ClientName,
    body: FormBody<TokenRequest>,
) -> Result<Json<SessionTokens>, Failure> {
    let wanted = body.read().await?;
    let signed_in = match (
        wanted.grant_type.as_str(),
        wanted.username,
        wanted.password,
        wanted.refresh_token,
    ) {
        ("password", Some(username), Some(password), _) => {
            // What is no e-mail address has no account either.
            let email: Email = username.parse().map_err(|_| Failure::of(Code::SignInFailed))?;
            let client = client.0.as_deref();
            public
                .auth
                .sign_in(&email, &password, client, context.client_address())
                .await?
        }
        ("refresh_token", _, _, Some(token)) => public.auth.refresh(&token, context.client_address()).await?,
        ("password", ..) => return Err(needs("/username", "`username` and `password`")),
        ("refresh_token", ..) => return Err(needs("/refresh_token", "`refresh_token`")),
        _ => {
            return Err(needs(
                "/grant_type",
                "`grant_type` to be `password` or `refresh_token`",
            ));
        }
    };
    Ok(Json(SessionTokens::new(&signed_in, public.clock.now())))
}

fn needs(pointer: &str, what: &str) -> Failure {
    Failure::new(Code::InvalidValue, format!("A token request needs {what}."))
        .field(pointer, "is missing or unknown")
}
