//! What is over and can go. Each call removes at most `limit` rows, so that a sweep is many small transactions.

use berth_domain::clock::Timestamp;
use sqlx::PgConnection;

use crate::error::Error;

/// What is over, inside a transaction.
pub struct Expired<'t>(pub(crate) &'t mut PgConnection);

impl Expired<'_> {
    /// Removes sessions that expired, or were ended, before this moment, with their refresh tokens. Answers how many.
    pub async fn remove_sessions(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM sessions
            WHERE session_id IN (
                SELECT session_id
                FROM sessions
                WHERE expires_at < $1 OR ended_at < $1
                LIMIT $2
            )",
            before,
            i64::from(limit),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes requests for a new password that expired before this moment. Answers how many.
    pub async fn remove_password_resets(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM password_resets
            WHERE password_reset_id IN (
                SELECT password_reset_id
                FROM password_resets
                WHERE expires_at < $1
                LIMIT $2
            )",
            before,
            i64::from(limit),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes invitations that expired before this moment, accepted ones too. Answers how many.
    pub async fn remove_invitations(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM invitations
            WHERE invitation_id IN (
                SELECT invitation_id
                FROM invitations
                WHERE expires_at < $1
                LIMIT $2
            )",
            before,
            i64::from(limit),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes kept answers that expired before this moment. Answers how many.
    pub async fn remove_idempotency_keys(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM idempotency_keys
            WHERE (owner_id, route, key) IN (
                SELECT owner_id, route, key
                FROM idempotency_keys
                WHERE expires_at < $1
                LIMIT $2
            )",
            before,
            i64::from(limit),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes secrets of keys that stopped to open them before this moment. Answers how many.
    pub async fn remove_api_key_secrets(&mut self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        let done = sqlx::query!(
            "DELETE FROM api_key_secrets
            WHERE public_id IN (
                SELECT public_id
                FROM api_key_secrets
                WHERE expires_at < $1
                LIMIT $2
            )",
            before,
            i64::from(limit),
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}
