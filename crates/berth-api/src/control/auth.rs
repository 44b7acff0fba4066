//! Signing up and in, staying signed in, passwords.

pub(crate) mod accept_invitation;
pub(crate) mod change_password;
pub(crate) mod confirm_password_reset;
pub(crate) mod end_session;
pub(crate) mod list_sessions;
pub(crate) mod me;
pub(crate) mod refresh;
pub(crate) mod request_password_reset;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod sign_up;
pub(crate) mod token;

use berth_auth::sessions::SignedIn;
use berth_domain::clock::Timestamp;
use berth_domain::id::{SessionId, UserId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// The tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionTokens {
    /// Who signed in.
    user_id: UserId,
    /// The session.
    session_id: SessionId,
    /// The token to call with, as `Bearer`.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// In how many seconds the access token expires.
    expires_in: i64,
    /// The token that gives the next pair, once.
    refresh_token: String,
    /// Until when the refresh token can be used.
    refresh_expires_at: DateTime<Utc>,
}

impl SessionTokens {
    fn new(signed_in: &SignedIn, now: Timestamp) -> Self {
        Self {
            user_id: signed_in.user,
            session_id: signed_in.session,
            access_token: signed_in.access.text.expose().to_owned(),
            token_type: "Bearer",
            expires_in: (signed_in.access.expires_at - now).num_seconds().max(0),
            refresh_token: signed_in.refresh.expose().to_owned(),
            refresh_expires_at: signed_in.refresh_expires_at,
        }
    }
}
