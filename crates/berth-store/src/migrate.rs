//! Brings the database to the schema of this release, and lets the two roles log in.

use berth_domain::random::Random;
use berth_domain::secret::Secret;
use percent_encoding::percent_decode_str;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::error::Error;
use crate::scram;
use crate::startup_check::Side;

/// Every migration of this release.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// PostgreSQL 15, as `server_version_num` puts it.
const OLDEST_SERVER: i32 = 150_000;

/// Which database is migrated, and as whom.
#[derive(Debug, Clone)]
pub struct MigrateOptions {
    /// URL of the database, as the role that owns it.
    pub owner_url: Secret,
    /// URL that requests will be served with.
    pub app_url: Secret,
    /// URL that work across organizations will use.
    pub system_url: Secret,
}

/// Why the database could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A URL is no URL of a Postgres database.
    #[error("a URL of the database cannot be read")]
    Url(#[source] sqlx::Error),

    /// Postgres did not answer, or refused.
    #[error("the database cannot be worked on")]
    Store(#[from] Error),

    /// The server is too old.
    #[error("the server is version {found}, and Berth needs PostgreSQL 15 or later")]
    ServerTooOld {
        /// What the server calls itself.
        found: String,
    },

    /// A migration failed, or those of the database are not those of this release.
    #[error("the schema cannot be brought to this release")]
    Migration(#[from] sqlx::migrate::MigrateError),

    /// A role cannot log in, and the owner cannot change that.
    #[error("`{role}` cannot log in by its URL, and the owner of the database may not set its password")]
    Login {
        /// The role.
        role: String,
        /// What Postgres said.
        #[source]
        source: sqlx::Error,
    },

    /// A password has letters outside ASCII, which would need a normalization that Berth does not do.
    #[error("the password of `{role}` has letters outside ASCII: choose another, or set it by hand")]
    Password {
        /// The role.
        role: String,
    },
}

/// Applies what is missing of the schema, as the owner, and sees to it that the roles of the two other URLs can log in and
/// hold the rights they need. Doing it again changes nothing.
pub async fn migrate(options: &MigrateOptions, random: &dyn Random) -> Result<(), MigrateError> {
    let owner = parse(&options.owner_url)?;
    let mut connection = owner.connect().await.map_err(Error::from)?;
    check_server(&mut connection).await?;
    MIGRATOR.run(&mut connection).await?;
    for (url, side) in [(&options.app_url, Side::App), (&options.system_url, Side::System)] {
        admit(&mut connection, &parse(url)?, side, random).await?;
    }
    connection.close().await.map_err(Error::from)?;
    Ok(())
}

pub(crate) fn parse(url: &Secret) -> Result<PgConnectOptions, MigrateError> {
    url.expose().parse().map_err(MigrateError::Url)
}

async fn check_server(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let server = sqlx::query!(
        r#"SELECT
            current_setting('server_version_num')::integer AS "number!",
            current_setting('server_version') AS "text!""#
    )
    .fetch_one(connection)
    .await
    .map_err(Error::from)?;
    if server.number < OLDEST_SERVER {
        return Err(MigrateError::ServerTooOld { found: server.text });
    }
    Ok(())
}

/// Lets the role that `login` names log in: makes it a member of the side's role if it is another, and sets its password if
/// it cannot log in yet.
async fn admit(
    owner: &mut PgConnection,
    login: &PgConnectOptions,
    side: Side,
    random: &dyn Random,
) -> Result<(), MigrateError> {
    let role = login.get_username().to_owned();
    if role != side.role() {
        join(owner, &role, side).await?;
    }
    let Err(refusal) = try_login(login).await else {
        return Ok(());
    };
    let url = login.to_url_lossy();
    let Some(password) = url.password() else {
        return Err(MigrateError::Login {
            role,
            source: refusal,
        });
    };
    let password = percent_decode_str(password).decode_utf8_lossy();
    if !password.is_ascii() {
        return Err(MigrateError::Password { role });
    }
    // The server gets a verifier and never the password, which would stand in its log.
    let verifier = scram::verifier(&password, random);
    let set = set_password(owner, &role, &verifier).await;
    // Another process may have set the same password at the same time, so it is the login that counts.
    match (set, try_login(login).await) {
        (_, Ok(())) => Ok(()),
        (Err(source), Err(_)) | (Ok(()), Err(source)) => Err(MigrateError::Login { role, source }),
    }
}

async fn try_login(login: &PgConnectOptions) -> Result<(), sqlx::Error> {
    login.connect().await?.close().await
}

pub(crate) async fn set_password(
    owner: &mut PgConnection,
    role: &str,
    verifier: &str,
) -> Result<(), sqlx::Error> {
    let statement = sqlx::query_scalar!(
        r#"SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text) AS "statement!""#,
        role,
        verifier,
    )
    .fetch_one(&mut *owner)
    .await?;
    execute(owner, statement).await
}

async fn join(owner: &mut PgConnection, role: &str, side: Side) -> Result<(), MigrateError> {
    let found = sqlx::query!(
        r#"SELECT
            NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS "missing!",
            NOT EXISTS (
                SELECT FROM pg_auth_members
                WHERE member = to_regrole(quote_ident($1)) AND roleid = to_regrole($2)
            ) AS "stranger!",
            format('CREATE ROLE %I LOGIN', $1::text) AS "create!",
            format('GRANT %I TO %I', $2::text, $1::text) AS "grant!""#,
        role,
        side.role(),
    )
    .fetch_one(&mut *owner)
    .await
    .map_err(Error::from)?;
    if found.missing {
        execute(owner, found.create).await.map_err(Error::from)?;
    }
    if found.stranger {
        execute(owner, found.grant).await.map_err(Error::from)?;
    }
    Ok(())
}

/// Runs a statement that Postgres itself put together, quoting what it was given.
pub(crate) async fn execute(owner: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(owner)
        .await
        .map(|_| ())
}
