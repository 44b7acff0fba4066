//! The migrated database that tests copy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

use super::roles::{self, Role};
use super::{connect, drop_database};
use crate::cache::unique;

/// The key of the lock under which templates are made; any number that nobody else uses.
const LOCK: i64 = 0x0062_6572_7468_7470;

/// The name of the template for the migrations as they are now, made if it is missing.
pub(super) async fn ensure(admin: &PgConnectOptions) -> Result<String> {
    let migrations = migrations_folder();
    let name = format!("berth_template_{}", digest(&migrations, admin)?);
    let mut connection = connect(admin).await?;
    if !exists(&mut connection, &name).await? {
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(LOCK)
            .execute(&mut connection)
            .await?;
        if !exists(&mut connection, &name).await? {
            make(&mut connection, admin, &migrations, &name).await?;
        }
    }
    // Ends the session and with it the lock.
    connection
        .close()
        .await
        .context("closing the connection that looked for the template")?;
    Ok(name)
}

fn migrations_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations")
}

/// Names the state of the migrations. The server's URL goes in as well: the passwords of the roles hang on it.
fn digest(migrations: &Path, admin: &PgConnectOptions) -> Result<String> {
    let mut files: Vec<PathBuf> = fs::read_dir(migrations)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("reading `{}`", migrations.display()))?;
    files.sort();
    let mut digest = Sha256::new().chain_update(Role::Owner.password(admin));
    for path in files {
        let text = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        digest = digest
            .chain_update(name)
            .chain_update([0])
            .chain_update(text)
            .chain_update([0]);
    }
    Ok(hex::encode(&digest.finalize()[..8]))
}

async fn exists(connection: &mut PgConnection, name: &str) -> Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .context("looking for the template")
}

/// Migrates under a passing name, so that a template with its final name is whole.
async fn make(
    connection: &mut PgConnection,
    admin: &PgConnectOptions,
    migrations: &Path,
    name: &str,
) -> Result<()> {
    roles::make_owner(connection, admin).await?;
    let passing = format!("berth_making_{}", unique());
    let owner = Role::Owner.name();
    run(connection, format!("CREATE DATABASE {passing} OWNER {owner}")).await?;
    let made = migrate(admin, migrations, &passing).await;
    if let Err(error) = made {
        drop_database(admin, &passing).await?;
        return Err(error);
    }
    roles::set_passwords(connection, admin).await?;
    run(connection, format!("ALTER DATABASE {passing} RENAME TO {name}")).await
}

async fn migrate(admin: &PgConnectOptions, migrations: &Path, database: &str) -> Result<()> {
    let owner = admin
        .clone()
        .database(database)
        .username(Role::Owner.name())
        .password(&Role::Owner.password(admin));
    let mut connection = connect(&owner).await?;
    Migrator::new(migrations)
        .await
        .context("reading the migrations")?
        .run(&mut connection)
        .await
        .context("migrating the template")?;
    connection
        .close()
        .await
        .context("closing the connection that migrated")
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::query(AssertSqlSafe(statement.clone()))
        .execute(connection)
        .await
        .with_context(|| format!("running `{statement}`"))?;
    Ok(())
}
