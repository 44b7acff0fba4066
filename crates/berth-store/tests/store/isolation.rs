//! Row-level security, on every table that there is: a new table cannot be forgotten.

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::world::World;

/// Tables that hold nobody's rows.
const NOBODYS: [&str; 2] = ["_sqlx_migrations", "changes"];

async fn tables(connection: &mut PgConnection, condition: &'static str) -> Result<Vec<String>> {
    let statement = format!(
        "SELECT relname::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND {condition}
        ORDER BY relname"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn tenant_tables(connection: &mut PgConnection) -> Result<Vec<String>> {
    let found = tables(
        connection,
        "EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = pg_class.oid AND attname = 'organization_id' AND NOT attisdropped
        )",
    )
    .await?;
    ensure!(
        found.len() >= 15,
        "the search for tenant tables found only {found:?}"
    );
    Ok(found)
}

async fn count(connection: &mut PgConnection, statement: String) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(connection)
        .await
}

async fn enter(connection: &mut PgConnection, organization: Uuid) -> Result<()> {
    sqlx::query("SELECT set_config('berth.organization_id', $1, false)")
        .bind(organization.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

fn is_denied(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "42501")
}

/// Whether the role that is connected has this right to the table or to any of its columns.
async fn may(connection: &mut PgConnection, table: &str, right: &str) -> Result<bool> {
    Ok(
        sqlx::query_scalar("SELECT has_any_column_privilege($1::text, $2)")
            .bind(table)
            .bind(right)
            .fetch_one(connection)
            .await?,
    )
}

/// The columns of the table that the role that is connected has this right to.
async fn columns(connection: &mut PgConnection, table: &str, right: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
        WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
            AND has_column_privilege(attrelid, attnum, $2)",
    )
    .bind(table)
    .bind(right)
    .fetch_all(connection)
    .await?)
}

#[tokio::test]
async fn every_table_with_rows_of_somebody_is_under_forced_row_level_security() -> Result<()> {
    let world = World::new().await?;
    let mut owner = PgConnection::connect(&world.database.owner_url()).await?;
    let open = tables(&mut owner, "NOT (relrowsecurity AND relforcerowsecurity)").await?;
    assert_eq!(open, NOBODYS);
    Ok(())
}

#[tokio::test]
async fn query_without_an_organization_sees_nothing() -> Result<()> {
    let world = World::new().await?;
    world.furnished_tenant("acme").await?;
    let mut superuser = PgConnection::connect(&world.database.superuser_url()).await?;
    let mut app = PgConnection::connect(&world.database.app_url()).await?;
    let mut owner = PgConnection::connect(&world.database.owner_url()).await?;
    for table in tables(&mut superuser, "relrowsecurity").await? {
        let statement = format!("SELECT count(*) FROM {table}");
        let there = count(&mut superuser, statement.clone()).await?;
        assert!(
            there > 0,
            "`{table}` is empty, so that the test would not notice; furnish it"
        );
        match count(&mut app, statement.clone()).await {
            Ok(seen) => assert_eq!(seen, 0, "berth_app sees rows of `{table}`"),
            Err(error) => assert!(is_denied(&error), "`{table}`: {error}"),
        }
        // Whoever owns the tables is bound as well, logged in as himself.
        assert_eq!(
            count(&mut owner, statement).await?,
            0,
            "the owner sees rows of `{table}`"
        );
    }
    Ok(())
}

#[tokio::test]
async fn organization_sees_its_own_rows_and_no_others() -> Result<()> {
    let world = World::new().await?;
    let acme = world.furnished_tenant("acme").await?.organization.as_uuid();
    let evil = world.furnished_tenant("evil").await?.organization.as_uuid();
    let mut superuser = PgConnection::connect(&world.database.superuser_url()).await?;
    let mut app = PgConnection::connect(&world.database.app_url()).await?;
    enter(&mut app, evil).await?;
    let mut seen_tables = 0;
    for table in tenant_tables(&mut superuser).await? {
        if !may(&mut app, &table, "SELECT").await? {
            continue;
        }
        let of = |organization: Uuid| {
            format!("SELECT count(*) FROM {table} WHERE organization_id = '{organization}'")
        };
        let own = count(&mut superuser, of(evil)).await?;
        assert!(own > 0, "`{table}` is empty; furnish it");
        assert_eq!(count(&mut app, of(evil)).await?, own, "own rows of `{table}`");
        assert_eq!(count(&mut app, of(acme)).await?, 0, "foreign rows of `{table}`");
        assert_eq!(
            count(&mut app, format!("SELECT count(*) FROM {table}")).await?,
            own,
            "all rows of `{table}`"
        );
        seen_tables += 1;
    }
    assert!(seen_tables >= 14, "only {seen_tables} tables were looked at");
    Ok(())
}

#[tokio::test]
async fn rows_of_another_organization_cannot_be_changed_or_removed() -> Result<()> {
    let world = World::new().await?;
    let acme = world.furnished_tenant("acme").await?.organization.as_uuid();
    let evil = world.furnished_tenant("evil").await?.organization.as_uuid();
    let mut app = PgConnection::connect(&world.database.app_url()).await?;
    enter(&mut app, evil).await?;
    for table in tenant_tables(&mut app).await? {
        for column in columns(&mut app, &table, "UPDATE").await? {
            let statement = format!("UPDATE {table} SET {column} = {column}");
            // Without a WHERE, which is what a slip of the pen looks like; then aimed at the other.
            let aimed = format!("{statement} WHERE organization_id = '{acme}'");
            let mut attempt = app.begin().await?;
            let done = sqlx::query(AssertSqlSafe(aimed)).execute(&mut *attempt).await?;
            assert_eq!(done.rows_affected(), 0, "`{table}.{column}` of another");
            let all = sqlx::query(AssertSqlSafe(statement))
                .execute(&mut *attempt)
                .await?;
            let own = count(&mut attempt, format!("SELECT count(*) FROM {table}")).await?;
            assert_eq!(i64::try_from(all.rows_affected())?, own, "`{table}.{column}`");
            attempt.rollback().await?;
        }
        if may_delete(&mut app, &table).await? {
            let statement = format!("DELETE FROM {table} WHERE organization_id = '{acme}'");
            let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut app).await?;
            assert_eq!(done.rows_affected(), 0, "`{table}`");
        }
        // Nor can a row be moved to another.
        let statement = format!("UPDATE {table} SET organization_id = '{acme}'");
        let refusal = sqlx::query(AssertSqlSafe(statement))
            .execute(&mut app)
            .await
            .err()
            .with_context(|| format!("rows of `{table}` moved to another organization"))?;
        assert!(is_denied(&refusal), "`{table}`: {refusal}");
    }
    Ok(())
}

async fn may_delete(app: &mut PgConnection, table: &str) -> Result<bool> {
    Ok(
        sqlx::query_scalar("SELECT has_table_privilege($1::text, 'DELETE')")
            .bind(table)
            .fetch_one(app)
            .await?,
    )
}

#[tokio::test]
async fn rows_cannot_be_added_to_another_organization() -> Result<()> {
    let world = World::new().await?;
    let acme = world.furnished_tenant("acme").await?.organization.as_uuid();
    let evil = world.furnished_tenant("evil").await?.organization.as_uuid();
    let mut superuser = PgConnection::connect(&world.database.superuser_url()).await?;
    let mut app = PgConnection::connect(&world.database.app_url()).await?;
    let mut tried = 0;
    for table in tenant_tables(&mut superuser).await? {
        let columns = columns(&mut app, &table, "INSERT").await?;
        if columns.is_empty() {
            continue;
        }
        let row: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT to_jsonb({table}) FROM {table} WHERE organization_id = '{acme}' LIMIT 1"
        )))
        .fetch_one(&mut superuser)
        .await?;
        let columns = columns.join(", ");
        let statement = format!(
            "INSERT INTO {table} ({columns})
            SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1)"
        );
        for scope in [evil, Uuid::nil()] {
            enter(&mut app, scope).await?;
            let refusal = sqlx::query(AssertSqlSafe(statement.clone()))
                .bind(&row)
                .execute(&mut app)
                .await
                .err()
                .with_context(|| format!("a row was added to another organization's `{table}`"))?;
            assert!(
                is_denied(&refusal) && refusal.to_string().contains("row-level security"),
                "`{table}` refuses for another reason: {refusal}"
            );
        }
        // In its own organization the same row gets as far as the primary key.
        enter(&mut app, acme).await?;
        let collision = sqlx::query(AssertSqlSafe(statement))
            .bind(&row)
            .execute(&mut app)
            .await
            .err()
            .with_context(|| format!("`{table}` holds a row twice"))?;
        assert!(
            collision
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_unique_violation),
            "`{table}`: {collision}"
        );
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} tables were tried");
    Ok(())
}

#[tokio::test]
async fn person_sees_their_own_rows_and_no_others() -> Result<()> {
    let world = World::new().await?;
    let acme = world.furnished_tenant("acme").await?;
    let evil = world.furnished_tenant("evil").await?;
    let mut superuser = PgConnection::connect(&world.database.superuser_url()).await?;
    let mut app = PgConnection::connect(&world.database.app_url()).await?;
    sqlx::query("SELECT set_config('berth.user_id', $1, false)")
        .bind(evil.owner.as_uuid().to_string())
        .execute(&mut app)
        .await?;
    for table in ["users", "passwords", "sessions", "refresh_tokens", "memberships"] {
        let own = format!(
            "SELECT count(*) FROM {table} WHERE user_id = '{}'",
            evil.owner.as_uuid()
        );
        let own = count(&mut superuser, own).await?;
        assert!(own > 0, "`{table}` is empty; furnish it");
        assert_eq!(
            count(&mut app, format!("SELECT count(*) FROM {table}")).await?,
            own,
            "`{table}`"
        );
    }
    // Of tenants' tables, where they belong is all that a person sees.
    for table in tenant_tables(&mut superuser).await? {
        if ["memberships", "organizations"].contains(&table.as_str())
            || !may(&mut app, &table, "SELECT").await?
        {
            continue;
        }
        let seen = count(&mut app, format!("SELECT count(*) FROM {table}")).await?;
        assert_eq!(seen, 0, "`{table}`");
    }
    let organizations: Vec<Uuid> = sqlx::query_scalar("SELECT organization_id FROM organizations")
        .fetch_all(&mut app)
        .await?;
    assert_eq!(organizations, [evil.organization.as_uuid()]);

    // Another's account cannot be written either.
    let statement = format!(
        "UPDATE users SET name = 'taken over' WHERE user_id = '{}'",
        acme.owner.as_uuid()
    );
    let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut app).await?;
    assert_eq!(done.rows_affected(), 0);
    Ok(())
}

#[tokio::test]
async fn organization_sees_names_of_its_members_and_never_their_passwords() -> Result<()> {
    let world = World::new().await?;
    let acme = world.furnished_tenant("acme").await?;
    let evil = world.furnished_tenant("evil").await?;
    let mut tx = world.store.tenant(acme.organization).await?;
    assert!(tx.users().show(acme.owner).await?.is_some());
    assert!(tx.users().show(evil.owner).await?.is_none());
    assert!(tx.passwords().show(acme.owner).await?.is_none());
    assert!(tx.sessions().list(acme.owner, world.now()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn scope_ends_with_its_transaction() -> Result<()> {
    let world = World::new().await?;
    let acme = world.furnished_tenant("acme").await?;
    // One connection, so that the next transaction surely gets the same.
    let mut options = crate::world::options(&world.database);
    options.max_connections = 1;
    let store = berth_store::Store::connect(&options).await?;
    let mut tx = store.tenant_as(acme.organization, acme.owner).await?;
    assert!(tx.organizations().show(acme.organization).await?.is_some());
    assert!(tx.users().show(acme.owner).await?.is_some());
    tx.commit().await?;
    let mut tx = store.public().await?;
    assert!(tx.organizations().show(acme.organization).await?.is_none());
    assert!(tx.users().show(acme.owner).await?.is_none());
    Ok(())
}
