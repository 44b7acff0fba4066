//! The roles of the product on the test server.

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

/// A role that the product signs in as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Owner,
    App,
    System,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Owner => "berth_owner",
            Self::App => "berth_app",
            Self::System => "berth_system",
        }
    }

    /// Roles belong to the whole server and tests run in many processes: each computes the same password from the
    /// server's own URL, which carries a secret.
    pub(super) fn password(self, admin: &PgConnectOptions) -> String {
        let digest = Sha256::new()
            .chain_update("berth test role")
            .chain_update(self.name())
            .chain_update([0])
            .chain_update(admin.to_url_lossy().as_str())
            .finalize();
        hex::encode(&digest[..16])
    }
}

/// Makes the owner, who may make the two others in the first migration.
pub(super) async fn make_owner(connection: &mut PgConnection, admin: &PgConnectOptions) -> Result<()> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(Role::Owner.name())
        .fetch_one(&mut *connection)
        .await
        .context("looking for the owner role")?;
    let verb = if exists { "ALTER" } else { "CREATE" };
    let statement = format!(
        "{verb} ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB CREATEROLE PASSWORD '{}'",
        Role::Owner.name(),
        Role::Owner.password(admin),
    );
    sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .context("making the owner role")?;
    Ok(())
}

/// Gives the two roles that the migrations made their passwords, as `berth migrate` does.
pub(super) async fn set_passwords(connection: &mut PgConnection, admin: &PgConnectOptions) -> Result<()> {
    for role in [Role::App, Role::System] {
        let statement = format!("ALTER ROLE {} PASSWORD '{}'", role.name(), role.password(admin));
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .with_context(|| format!("setting the password of {}", role.name()))?;
    }
    Ok(())
}
