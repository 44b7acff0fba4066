//! Refresh tokens: each is used once, and a second use is how a stolen one is noticed.

use berth_domain::clock::Timestamp;
use berth_domain::id::{SessionId, UserId};
use sqlx::PgConnection;

use crate::error::{Error, at_most_one_row, one_row};

/// A refresh token to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRefreshToken {
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// The session that it continues.
    pub session: SessionId,
    /// Whose session that is.
    pub user: UserId,
    /// When it is given out.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// Refresh tokens, inside a transaction.
pub struct RefreshTokens<'t>(pub(crate) &'t mut PgConnection);

impl RefreshTokens<'_> {
    /// Adds a token.
    pub async fn insert(&mut self, token: &NewRefreshToken) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO refresh_tokens (token_hash, session_id, user_id, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5)",
            &token.token_hash,
            token.session.as_uuid(),
            token.user.as_uuid(),
            token.created_at,
            token.expires_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("refresh_tokens", done.rows_affected())
    }

    /// Uses a token up. Answers whether it was unused: of two that try, one gets `false`.
    pub async fn mark_used(
        &mut self,
        user: UserId,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE refresh_tokens
            SET used_at = $3
            WHERE user_id = $1 AND token_hash = $2 AND used_at IS NULL",
            user.as_uuid(),
            token_hash,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("refresh_tokens", done.rows_affected())
    }
}
