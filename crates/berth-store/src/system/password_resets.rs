//! Requests for a new password, for the letters that carry them and for operators who make an account.

use berth_domain::id::PasswordResetId;
use sqlx::PgConnection;

use crate::error::Error;
use crate::lookups::FoundPasswordReset;
use crate::password_resets::NewPasswordReset;
use crate::row::Row;

/// Every request, inside a transaction.
pub struct PasswordResets<'t>(pub(crate) &'t mut PgConnection);

impl PasswordResets<'_> {
    /// Adds a request.
    pub async fn insert(&mut self, reset: &NewPasswordReset) -> Result<(), Error> {
        crate::password_resets::PasswordResets(&mut *self.0)
            .insert(reset)
            .await
    }

    /// The request, if its address has an account that may sign in.
    pub async fn show(&mut self, reset: PasswordResetId) -> Result<Option<FoundPasswordReset>, Error> {
        let found = sqlx::query!(
            "SELECT email, password_resets.created_at, expires_at, used_at
            FROM password_resets
            JOIN users USING (email)
            WHERE password_reset_id = $1 AND disabled_at IS NULL",
            reset.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?;
        let Some(stored) = found else {
            return Ok(None);
        };
        Ok(Some(FoundPasswordReset {
            email: Row::new("password_resets", reset).parse("email", &stored.email)?,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            used_at: stored.used_at,
        }))
    }
}
