//! Locks in a database, for tests of what happens at the same time.

use std::fmt;

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{TestDatabase, connect};

/// A table that nobody can read or write. Dropping it frees the table.
pub struct LockedTable(PgConnection);

impl fmt::Debug for LockedTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LockedTable").finish_non_exhaustive()
    }
}

impl LockedTable {
    /// Frees the table, and waits until it is free.
    pub async fn free(self) -> Result<()> {
        self.0.close().await.context("closing the connection")
    }
}

impl TestDatabase {
    /// Whether a statement waits for a lock that another transaction holds.
    pub async fn somebody_waits(&self) -> Result<bool> {
        Ok(self.waiting().await? > 0)
    }

    /// How many statements wait for locks that other transactions hold.
    pub async fn waiting(&self) -> Result<i64> {
        let mut connection = connect(&self.admin.clone().database(&self.name)).await?;
        let waiting = sqlx::query_scalar(
            "SELECT count(*)
            FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut connection)
        .await
        .context("asking who waits")?;
        connection.close().await.context("closing the connection")?;
        Ok(waiting)
    }

    /// Locks `table`, so that every statement on it waits.
    pub async fn lock_table(&self, table: &str) -> Result<LockedTable> {
        let mut connection = connect(&self.admin.clone().database(&self.name)).await?;
        for statement in ["BEGIN", &format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")] {
            sqlx::query(AssertSqlSafe(statement.to_owned()))
                .execute(&mut connection)
                .await
                .with_context(|| format!("locking {table}"))?;
        }
        Ok(LockedTable(connection))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wait_until;

    #[tokio::test]
    async fn statement_on_a_locked_table_waits_until_it_is_free() {
        let database = TestDatabase::create().await.expect("a database");
        assert!(!database.somebody_waits().await.expect("an answer"));
        let locked = database.lock_table("users").await.expect("locks");
        let url = database.superuser_url();
        let reader = tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query("SELECT FROM users").execute(&mut connection).await
        });
        let limit = Duration::from_secs(20);
        wait_until(limit, async || {
            database.somebody_waits().await.expect("an answer")
        })
        .await
        .expect("the reader waits");
        locked.free().await.expect("frees");
        reader.await.expect("runs").expect("reads");
        assert!(!database.somebody_waits().await.expect("an answer"));
    }
}
