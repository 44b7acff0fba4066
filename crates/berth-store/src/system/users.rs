//! People, as operators of the platform see them.

use berth_domain::clock::Timestamp;
use berth_domain::id::UserId;
use sqlx::PgConnection;

use crate::error::{Error, at_most_one_row, one_row};
use crate::page::{List, Page, Window, fetch_window};
use crate::users::{NewUser, User, UserRow};

/// Held while the first operator is made. Any number that nothing else in the database locks.
const FIRST_OPERATOR_LOCK: i64 = 0x6265_7274_686f_7031;

/// Every person, inside a transaction.
pub struct Users<'t>(pub(crate) &'t mut PgConnection);

impl Users<'_> {
    /// Adds a person. Fails by [`crate::users::EMAIL_TAKEN`].
    pub async fn insert(&mut self, user: &NewUser, operator: bool) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO users (user_id, email, name, operator, created_at)
            VALUES ($1, $2, $3, $4, $5)",
            user.id.as_uuid(),
            user.email.as_str(),
            user.name.as_ref().map(berth_domain::name::Title::as_str),
            operator,
            user.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("users", done.rows_affected())
    }

    /// Adds the platform's first operator, unless there is one, however many try at once. Answers whether it was added.
    /// Fails by [`crate::users::EMAIL_TAKEN`].
    pub async fn insert_first_operator(&mut self, user: &NewUser) -> Result<bool, Error> {
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", FIRST_OPERATOR_LOCK)
            .execute(&mut *self.0)
            .await?;
        let there = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM users WHERE operator) AS "there!""#)
            .fetch_one(&mut *self.0)
            .await?;
        if there {
            return Ok(false);
        }
        self.insert(user, true).await?;
        Ok(true)
    }

    /// Sets the password of a person.
    pub async fn set_password(&mut self, user: UserId, hash: &str, now: Timestamp) -> Result<(), Error> {
        crate::passwords::Passwords(&mut *self.0)
            .set(user, hash, now)
            .await
    }

    /// The person.
    pub async fn show(&mut self, user: UserId) -> Result<Option<User>, Error> {
        crate::users::Users(&mut *self.0).show(user).await
    }

    /// All people.
    pub async fn list(&mut self, page: &Page<UserId>) -> Result<List<User>, Error> {
        let window = Window::of(page);
        let rows = fetch_window!(
            &mut *self.0,
            window,
            UserRow,
            "SELECT user_id, email, name, operator, created_at, disabled_at
            FROM users
            WHERE true",
            "user_id",
        )?;
        window.list(rows)
    }

    /// Bars the person from signing in and ends their sessions; keys of their own stop to hold. Answers whether that changed
    /// anything.
    pub async fn disable(&mut self, user: UserId, now: Timestamp) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE users
            SET disabled_at = $2
            WHERE user_id = $1 AND disabled_at IS NULL",
            user.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        sqlx::query!(
            "UPDATE sessions
            SET ended_at = $2, end_reason = 'disabled'
            WHERE user_id = $1 AND ended_at IS NULL",
            user.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("users", done.rows_affected())
    }

    /// Lets the person sign in again. Answers whether that changed anything.
    pub async fn enable(&mut self, user: UserId) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE users
            SET disabled_at = NULL
            WHERE user_id = $1 AND disabled_at IS NOT NULL",
            user.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("users", done.rows_affected())
    }

    /// Makes the person an operator of the platform, or no longer one. Answers whether that changed anything.
    pub async fn make_operator(&mut self, user: UserId, operator: bool) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE users
            SET operator = $2
            WHERE user_id = $1 AND operator <> $2",
            user.as_uuid(),
            operator,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("users", done.rows_affected())
    }

    /// The operators who may sign in, locked until the transaction ends, so that of two who remove the last two one comes
    /// second and sees it.
    pub async fn lock_operators(&mut self) -> Result<Vec<UserId>, Error> {
        let operators = sqlx::query_scalar!(
            "SELECT user_id
            FROM users
            WHERE operator AND disabled_at IS NULL
            ORDER BY user_id
            FOR NO KEY UPDATE",
        )
        .fetch_all(&mut *self.0)
        .await?;
        Ok(operators.into_iter().map(UserId::from_uuid).collect())
    }
}
