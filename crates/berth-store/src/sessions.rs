//! Signed-in sessions of a person.

use berth_domain::clock::Timestamp;
use berth_domain::id::{SessionId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What the person signed in with, as the client told.
    pub client: Option<String>,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
    /// Why it was ended, in one word.
    pub end_reason: Option<String>,
}

/// A session to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// What the person signs in with, as the client tells.
    pub client: Option<String>,
    /// When they sign in.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Sessions, inside a transaction.
pub struct Sessions<'t>(pub(crate) &'t mut PgConnection);

impl Sessions<'_> {
    /// Adds a session.
    pub async fn insert(&mut self, session: &NewSession) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO sessions (session_id, user_id, client, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5)",
            session.id.as_uuid(),
            session.user.as_uuid(),
            session.client,
            session.created_at,
            session.expires_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("sessions", done.rows_affected())
    }

    /// The session, locked until the transaction ends, so that two uses of its tokens come one after the other.
    pub async fn lock(&mut self, user: UserId, session: SessionId) -> Result<Option<Session>, Error> {
        Ok(sqlx::query_as!(
            SessionRow,
            "SELECT session_id, user_id, client, created_at, expires_at, ended_at, end_reason
            FROM sessions
            WHERE user_id = $1 AND session_id = $2
            FOR UPDATE",
            user.as_uuid(),
            session.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Session::from))
    }

    /// The sessions of `user` that are open at `now`, the newest first.
    pub async fn list(&mut self, user: UserId, now: Timestamp) -> Result<Vec<Session>, Error> {
        let rows = sqlx::query_as!(
            SessionRow,
            "SELECT session_id, user_id, client, created_at, expires_at, ended_at, end_reason
            FROM sessions
            WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2
            ORDER BY session_id DESC",
            user.as_uuid(),
            now,
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(rows.into_iter().map(Session::from).collect())
    }

    /// Ends a session. Answers whether it was open.
    pub async fn end(
        &mut self,
        user: UserId,
        session: SessionId,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE sessions
            SET ended_at = $4, end_reason = $3
            WHERE user_id = $1 AND session_id = $2 AND ended_at IS NULL",
            user.as_uuid(),
            session.as_uuid(),
            reason,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("sessions", done.rows_affected())
    }

    /// Ends every open session of `user` but `keep`. Answers how many.
    pub async fn end_others(
        &mut self,
        user: UserId,
        keep: Option<SessionId>,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, Error> {
        let done = sqlx::query!(
            "UPDATE sessions
            SET ended_at = $4, end_reason = $3
            WHERE user_id = $1 AND session_id IS DISTINCT FROM $2 AND ended_at IS NULL",
            user.as_uuid(),
            keep.map(SessionId::as_uuid),
            reason,
            now,
        )
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }
}

struct SessionRow {
    session_id: Uuid,
    user_id: Uuid,
    client: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
    ended_at: Option<Timestamp>,
    end_reason: Option<String>,
}

impl From<SessionRow> for Session {
    fn from(stored: SessionRow) -> Self {
        Self {
            id: SessionId::from_uuid(stored.session_id),
            user: UserId::from_uuid(stored.user_id),
            client: stored.client,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            ended_at: stored.ended_at,
            end_reason: stored.end_reason,
        }
    }
}
