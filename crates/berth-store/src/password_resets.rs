//! Requests for a new password. Anybody may make one; only the token uses it.

use berth_domain::clock::Timestamp;
use berth_domain::id::{PasswordResetId, UserId};
use berth_domain::name::Email;
use sqlx::PgConnection;

use crate::error::{Error, one_row};

/// A request to be.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPasswordReset {
    /// Its id.
    pub id: PasswordResetId,
    /// The address that asked, whether it has an account or not.
    pub email: Email,
    /// SHA-256 of the token.
    pub token_hash: [u8; 32],
    /// When it is made.
    pub created_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// Requests for a new password, inside a transaction.
pub struct PasswordResets<'t>(pub(crate) &'t mut PgConnection);

impl PasswordResets<'_> {
    /// Adds a request.
    pub async fn insert(&mut self, reset: &NewPasswordReset) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO password_resets (password_reset_id, email, token_hash, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5)",
            reset.id.as_uuid(),
            reset.email.as_str(),
            &reset.token_hash,
            reset.created_at,
            reset.expires_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("password_resets", done.rows_affected())
    }

    /// Uses a request up: sets the password and ends every session of the account, and answers whose it is. `None`, and
    /// nothing done, when the token is unknown, used or expired, or the address has no account that may sign in.
    pub async fn consume(
        &mut self,
        token_hash: &[u8; 32],
        password_hash: &str,
        now: Timestamp,
    ) -> Result<Option<UserId>, Error> {
        let user = sqlx::query_scalar!(
            "SELECT consume_password_reset($1, $2, $3)",
            token_hash,
            now,
            password_hash,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(user.map(UserId::from_uuid))
    }
}
