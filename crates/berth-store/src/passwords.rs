//! Passwords, as slow hashes. Only their owner's scope sees them.

use berth_domain::clock::Timestamp;
use berth_domain::id::UserId;
use sqlx::PgConnection;

use crate::error::{Error, one_row};

/// A stored password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The hash with its parameters, in PHC form.
    pub hash: String,
    /// When it was set.
    pub changed_at: Timestamp,
}

/// Passwords, inside a transaction.
pub struct Passwords<'t>(pub(crate) &'t mut PgConnection);

impl Passwords<'_> {
    /// Sets the password of `user`, the first one or another.
    pub async fn set(&mut self, user: UserId, hash: &str, now: Timestamp) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO passwords (user_id, hash, changed_at)
            VALUES ($1, $2, $3)
            ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at",
            user.as_uuid(),
            hash,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("passwords", done.rows_affected())
    }

    /// The password of `user`, if one was ever set.
    pub async fn show(&mut self, user: UserId) -> Result<Option<Password>, Error> {
        Ok(sqlx::query_as!(
            Password,
            "SELECT hash, changed_at
            FROM passwords
            WHERE user_id = $1",
            user.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }

    /// The password of `user`, unless the account is disabled. Both stay as they are until the transaction ends, so that what
    /// was decided by the password holds when it is written down.
    pub async fn lock(&mut self, user: UserId) -> Result<Option<Password>, Error> {
        Ok(sqlx::query_as!(
            Password,
            "SELECT hash, changed_at
            FROM passwords
            JOIN users USING (user_id)
            WHERE passwords.user_id = $1 AND users.disabled_at IS NULL
            FOR UPDATE OF passwords FOR SHARE OF users",
            user.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?)
    }

    /// Stores another hash of the same password, which was not changed by that.
    pub async fn rehash(&mut self, user: UserId, hash: &str) -> Result<(), Error> {
        let done = sqlx::query!(
            "UPDATE passwords
            SET hash = $2
            WHERE user_id = $1",
            user.as_uuid(),
            hash,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("passwords", done.rows_affected())
    }
}
