//! Everything that stands in a database, for tests that something changed nothing, and how to spoil it.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::{TestDatabase, connect};

impl TestDatabase {
    /// Every row of every table, as `table {…}` in order, whoever it belongs to. When a key was last used is left out:
    /// that follows every call.
    pub async fn rows(&self) -> Result<Vec<String>> {
        let mut connection = connect(&self.admin.clone().database(&self.name)).await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(tablename)
            FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'",
        )
        .fetch_all(&mut connection)
        .await
        .context("asking for the tables")?;
        let mut rows = Vec::new();
        for table in tables {
            let statement = format!("SELECT (to_jsonb({table}) - 'last_used_at')::text FROM {table}");
            let found = sqlx::query(AssertSqlSafe(statement))
                .fetch_all(&mut connection)
                .await
                .with_context(|| format!("reading {table}"))?;
            for row in found {
                rows.push(format!("{table} {}", row.try_get::<String, _>(0)?));
            }
        }
        connection.close().await.context("closing the connection")?;
        rows.sort_unstable();
        Ok(rows)
    }

    /// Does what nobody but somebody with the superuser's password can do by hand: `statement`, past every rule. Tells how many
    /// rows it touched.
    pub async fn damage(&self, statement: &'static str) -> Result<u64> {
        let mut connection = connect(&self.admin.clone().database(&self.name)).await?;
        let done = sqlx::query(statement)
            .execute(&mut connection)
            .await
            .with_context(|| format!("doing `{statement}`"))?;
        connection.close().await.context("closing the connection")?;
        Ok(done.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_of_everybody_are_seen() {
        let database = TestDatabase::create().await.expect("a database");
        let before = database.rows().await.expect("the rows");
        let owner = database.owner_url();
        let mut connection = sqlx::PgConnection::connect(&owner)
            .await
            .expect("the owner signs in");
        sqlx::query("CREATE TABLE seen (x int, last_used_at timestamptz)")
            .execute(&mut connection)
            .await
            .expect("the owner may");
        for statement in [
            "ALTER TABLE seen ENABLE ROW LEVEL SECURITY",
            "INSERT INTO seen VALUES (1, now())",
        ] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .expect("the owner may");
        }
        let after = database.rows().await.expect("the rows");
        let new: Vec<&String> = after.iter().filter(|row| !before.contains(row)).collect();
        assert_eq!(new, [r#"seen {"x": 1}"#]);
        sqlx::query("UPDATE seen SET last_used_at = NULL")
            .execute(&mut connection)
            .await
            .expect("the owner may");
        assert_eq!(database.rows().await.expect("the rows"), after);
    }
}
