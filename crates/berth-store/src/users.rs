//! People, as they and those who share an organization with them see them.

use berth_domain::clock::Timestamp;
use berth_domain::id::UserId;
use berth_domain::name::{Email, Title};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, one_row};
use crate::row::Row;

/// The address is another person's already.
pub const EMAIL_TAKEN: &str = "users_email_key";

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// The address that they sign in with.
    pub email: Email,
    /// What they call themselves.
    pub name: Option<Title>,
    /// Whether they operate the platform.
    pub operator: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// Since when they may not sign in.
    pub disabled_at: Option<Timestamp>,
}

/// A person to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Their id.
    pub id: UserId,
    /// The address that they sign in with.
    pub email: Email,
    /// What they call themselves.
    pub name: Option<Title>,
    /// When the account is made.
    pub created_at: Timestamp,
}

/// People, inside a transaction.
pub struct Users<'t>(pub(crate) &'t mut PgConnection);

impl Users<'_> {
    /// Adds a person, in the scope of their own id. Fails by [`EMAIL_TAKEN`].
    pub async fn insert(&mut self, user: &NewUser) -> Result<(), Error> {
        let done = sqlx::query!(
            "INSERT INTO users (user_id, email, name, created_at)
            VALUES ($1, $2, $3, $4)",
            user.id.as_uuid(),
            user.email.as_str(),
            user.name.as_ref().map(Title::as_str),
            user.created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("users", done.rows_affected())
    }

    /// The person, if the scope is theirs or that of an organization they belong to.
    pub async fn show(&mut self, user: UserId) -> Result<Option<User>, Error> {
        sqlx::query_as!(
            UserRow,
            "SELECT user_id, email, name, operator, created_at, disabled_at
            FROM users
            WHERE user_id = $1",
            user.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(User::try_from)
        .transpose()
    }

    /// Gives the person another name. Answers whether there is such a person.
    pub async fn rename(&mut self, user: UserId, name: Option<&Title>) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE users
            SET name = $2
            WHERE user_id = $1",
            user.as_uuid(),
            name.map(Title::as_str),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("users", done.rows_affected())
    }
}

pub(crate) struct UserRow {
    pub(crate) user_id: Uuid,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) operator: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) disabled_at: Option<Timestamp>,
}

impl TryFrom<UserRow> for User {
    type Error = Error;

    fn try_from(stored: UserRow) -> Result<Self, Error> {
        let row = Row::new("users", stored.user_id);
        Ok(Self {
            id: UserId::from_uuid(stored.user_id),
            email: row.parse("email", &stored.email)?,
            name: row.parse_optional("name", stored.name.as_deref())?,
            operator: stored.operator,
            created_at: stored.created_at,
            disabled_at: stored.disabled_at,
        })
    }
}
