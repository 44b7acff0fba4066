//! `POST /api/v1/auth/refresh`

use actix_web::post;
use actix_web::web::Json;
use berth_domain::secret::Secret;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::control::auth::SessionTokens;
use crate::errors::{Failure, declare_errors, groups};
use crate::extract::{Public, StrangersBody};
use crate::request::RequestContext;

/// What is refreshed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    /// The refresh token of the last sign-in or refresh.
    refresh_token: Secret,
}

declare_errors!(
    Errors for Native: [groups::BODY],
    RefreshTokenInvalid, RefreshTokenReused, AccountDisabled, TooManyAttempts, Unavailable,
);

/// Refresh a session
///
/// Uses the refresh token up and gives the next pair of tokens. A token that comes twice ends the session, because then
/// two parties hold it: never refresh twice at a time.
#[utoipa::path(
    operation_id = "auth_refresh",
    tag = "auth",
    security(()),
    request_body = Refresh,
    responses((status = 200, description = "The next pair of tokens.", body = SessionTokens), Errors)
)]
#[post("/api/v1/auth/refresh")]
pub(crate) async fn refresh(
    public: Public,
    context: RequestContext,
    body: StrangersBody<Refresh>,
) -> Result<Json<SessionTokens>, Failure> {
    let Refresh { refresh_token } = body.read().await?;
    let signed_in = public
        .auth
        .refresh(&refresh_token, context.client_address())
        .await?;
    Ok(Json(SessionTokens::new(&signed_in, public.clock.now())))
}
