//! Requests for a new password, for the letters that carry them and for operators who make an account.

use berth_domain::clock::Timestamp;
use berth_domain::id::PasswordResetId;
use berth_domain::name::Email;
use sqlx::PgConnection;

use crate::error::Error;
use crate::password_resets::NewPasswordReset;
use crate::row::Row;

/// What the letter of a request says.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordLetter {
    /// The address that asked.
    pub email: Email,
    /// SHA-256 of the token that is in the link.
    pub token_hash: [u8; 32],
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// Whether the account has a password, and not yet to be given its first.
    pub has_password: bool,
}

/// Every request, inside a transaction.
pub struct PasswordResets<'t>(pub(crate) &'t mut PgConnection);

impl PasswordResets<'_> {
    /// Adds a request.
    pub async fn insert(&mut self, reset: &NewPasswordReset) -> Result<(), Error> {
        crate::password_resets::PasswordResets(&mut *self.0)
            .insert(reset)
            .await
    }

    /// What the letter of the request says, if its address has an account that may sign in.
    pub async fn letter(&mut self, reset: PasswordResetId) -> Result<Option<PasswordLetter>, Error> {
        let found = sqlx::query!(
            r#"SELECT email, token_hash, expires_at, used_at, passwords.user_id IS NOT NULL AS "has_password!"
            FROM password_resets
            JOIN users USING (email)
            LEFT JOIN passwords ON passwords.user_id = users.user_id
            WHERE password_reset_id = $1 AND disabled_at IS NULL"#,
            reset.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        let row = Row::new("password_resets", reset);
        Ok(Some(PasswordLetter {
            email: row.parse("email", &stored.email)?,
            token_hash: row.bytes32("token_hash", &stored.token_hash)?,
            expires_at: stored.expires_at,
            used_at: stored.used_at,
            has_password: stored.has_password,
        }))
    }
}
