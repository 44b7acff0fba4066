//! Makes the owner's role and its database on a fresh server, as the server's superuser: for `berth dev`, whose server is
//! private. An installation's administrator does this by hand, once.

use berth_domain::random::Random;
use berth_domain::secret::Secret;
use percent_encoding::percent_decode_str;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::error::Error;
use crate::migrate::{self, MigrateError};
use crate::scram;

/// What is made, and as whom.
#[derive(Debug, Clone)]
pub struct ProvisionOptions {
    /// URL of any database of the server, as its superuser.
    pub superuser_url: Secret,
    /// URL that the schema will be migrated with: it names the role and its password, and the database.
    pub owner_url: Secret,
}

/// Makes the role and the database of the owner's URL where they are missing, and sets the role's password. Doing it again
/// changes nothing.
///
/// The role is no superuser and is subject to row security; it may make the two other roles.
pub async fn provision(options: &ProvisionOptions, random: &dyn Random) -> Result<(), MigrateError> {
    let owner = migrate::parse(&options.owner_url)?;
    let role = owner.get_username();
    let database = owner.get_database().unwrap_or(role);
    let superuser = migrate::parse(&options.superuser_url)?;
    let mut connection = superuser.connect().await.map_err(Error::from)?;
    make(&mut connection, role, database).await.map_err(Error::from)?;
    if let Some(password) = owner.to_url_lossy().password() {
        let password = percent_decode_str(password).decode_utf8_lossy();
        if !password.is_ascii() {
            return Err(MigrateError::Password {
                role: role.to_owned(),
            });
        }
        let verifier = scram::verifier(&password, random);
        migrate::set_password(&mut connection, role, &verifier)
            .await
            .map_err(Error::from)?;
    }
    connection.close().await.map_err(Error::from)?;
    Ok(())
}

async fn make(connection: &mut PgConnection, role: &str, database: &str) -> Result<(), sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT
            NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS "role_missing!",
            NOT EXISTS (SELECT FROM pg_database WHERE datname = $2) AS "database_missing!",
            format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS CREATEROLE', $1::text) AS "create_role!",
            format('CREATE DATABASE %I OWNER %I', $2::text, $1::text) AS "create_database!""#,
        role,
        database,
    )
    .fetch_one(&mut *connection)
    .await?;
    if found.role_missing {
        migrate::execute(connection, found.create_role).await?;
    }
    if found.database_missing {
        migrate::execute(connection, found.create_database).await?;
    }
    Ok(())
}
