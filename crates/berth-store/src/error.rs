//! What can go wrong between Berth and Postgres. Not finding a row is no error: look-ups answer `Ok(None)`.

use std::error::Error as StdError;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached, is going away, has no room, or gave way to another transaction. Nothing was changed;
    /// trying again later may work.
    #[error("Postgres is unavailable")]
    Unavailable(#[source] sqlx::Error),

    /// The change breaks a rule of the schema.
    #[error("the change breaks the rule `{name}` of the schema")]
    Constraint {
        /// The name of the constraint or unique index, as the migrations give it.
        name: String,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },

    /// A stored row cannot be what it says: it was written by a much newer release or by hand.
    #[error("column `{column}` of `{table}` holds something impossible in row {id}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What tells the row from others.
        id: String,
        /// What is wrong with the value.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },

    /// A statement touched another number of rows than it must.
    #[error("a change of `{table}` touched {found} rows instead of {expected}")]
    UnexpectedRows {
        /// The table.
        table: &'static str,
        /// How many rows it must touch.
        expected: u64,
        /// How many it touched.
        found: u64,
    },

    /// The answer that is to be kept with a change cannot be written down. A bug; nothing was changed.
    #[error("the answer to keep with the change cannot be written")]
    Answer(#[source] Box<dyn StdError + Send + Sync>),

    /// Postgres refuses the statement itself; row-level security refuses this way too. A bug, or a right that is missing.
    #[error("Postgres refuses a statement")]
    Statement(#[source] sqlx::Error),
}

impl Error {
    /// The name of the constraint that a change breaks, if that is what went wrong.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Constraint { name, .. } => Some(name),
            _ => None,
        }
    }

    /// What is answered without asking, while Postgres is known to be unavailable.
    pub fn unavailable() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }

    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Classes and codes of `SQLSTATE` (PostgreSQL, appendix A) that pass by themselves: connection, resources, intervention
/// of an operator, system errors; serialization failure, deadlock, lock not available; a transaction that idled too long;
/// read-only after a failover.
fn is_transient(code: &str) -> bool {
    matches!(code.get(..2), Some("08" | "53" | "57" | "58"))
        || matches!(code, "40001" | "40P01" | "55P03" | "25P03" | "25006")
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            // How the library reads a line that is cut in the middle of a message.
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            sqlx::Error::Database(refusal) => {
                if refusal.code().is_some_and(|code| is_transient(&code)) {
                    return Self::Unavailable(error);
                }
                match refusal.constraint() {
                    Some(name) => Self::Constraint {
                        name: name.to_owned(),
                        source: error,
                    },
                    None => Self::Statement(error),
                }
            }
            _ => Self::Statement(error),
        }
    }
}

/// Checks that a change touched exactly one row.
pub(crate) fn one_row(table: &'static str, found: u64) -> Result<(), Error> {
    rows(table, 1, found)
}

/// Checks that a change touched `expected` rows.
pub(crate) fn rows(table: &'static str, expected: usize, found: u64) -> Result<(), Error> {
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    if found == expected {
        Ok(())
    } else {
        Err(Error::UnexpectedRows {
            table,
            expected,
            found,
        })
    }
}

/// Whether a change that touches at most one row, by its primary key, touched it.
pub(crate) fn at_most_one_row(table: &'static str, found: u64) -> Result<bool, Error> {
    if found == 0 {
        return Ok(false);
    }
    one_row(table, found).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_unavailable() {
        for code in ["08006", "53300", "57P01", "40P01", "55P03", "25P03"] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["23505", "42501", "22P02", ""] {
            assert!(!is_transient(code), "{code}");
        }
        assert!(Error::from(sqlx::Error::PoolTimedOut).is_transient());
        let cut = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".to_owned());
        assert!(Error::from(cut).is_transient());
    }

    #[test]
    fn wrong_number_of_rows_is_told() {
        assert!(one_row("users", 1).is_ok());
        assert!(matches!(
            one_row("users", 2),
            Err(Error::UnexpectedRows {
                table: "users",
                expected: 1,
                found: 2
            })
        ));
        assert!(matches!(at_most_one_row("users", 0), Ok(false)));
        assert!(at_most_one_row("users", 2).is_err());
    }
}
