//! Counters that move when what nodes have cached goes stale.

use sqlx::PgConnection;

use crate::error::Error;

/// What a counter stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Whether keys hold and what they may do: keys and their secrets, service accounts, projects, organizations, and
    /// whether people are disabled or operators.
    Keys,
    /// What can be called under which name: deployments, models and the state of versions, projects, organizations.
    Deployments,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 2] = [Self::Keys, Self::Deployments];

    /// The text form, as in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Deployments => "deployments",
        }
    }
}

/// The counters, inside a transaction.
pub struct Changes<'t>(pub(crate) &'t mut PgConnection);

impl Changes<'_> {
    /// The value that the counter of `topic` has when this transaction is committed. Triggers move the counter with every
    /// change, once a transaction; if nothing has moved it yet, this does.
    pub async fn bump(&mut self, topic: Topic) -> Result<i64, Error> {
        let value = sqlx::query_scalar!(r#"SELECT berth_changed($1) AS "value!""#, topic.as_str())
            .fetch_one(&mut *self.0)
            .await?;
        Ok(value)
    }
}
