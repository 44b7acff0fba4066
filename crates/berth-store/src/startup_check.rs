//! What a pool must reach before it is used: a recent schema, as a role that row-level security binds.

use sqlx::PgPool;

use crate::error::Error;
use crate::migrate::MIGRATOR;

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A URL is no URL of a Postgres database.
    #[error("the URL of the database cannot be read")]
    Url(#[source] sqlx::Error),

    /// Postgres did not answer, or refused.
    #[error("the database cannot be reached")]
    Store(#[from] Error),

    /// The role is not bound by row-level security, or not the one that the pool needs.
    #[error("the database role `{role}` {fault}")]
    Role {
        /// The role that the URL names.
        role: String,
        /// What is wrong with it.
        fault: RoleFault,
    },

    /// Nothing was ever migrated, or the database is another one.
    #[error("the database holds no schema of Berth: run `berth migrate`")]
    NotMigrated,

    /// The schema is older than this release needs.
    #[error("the schema is at version {found} and this release needs {needed}: run `berth migrate`")]
    SchemaTooOld {
        /// The newest migration that was applied.
        found: i64,
        /// The newest migration of this release.
        needed: i64,
    },
}

/// What is wrong with a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoleFault {
    /// A superuser ignores even forced policies.
    #[error("is a superuser or may become one, whom row-level security does not bind: use `{0}`")]
    Superuser(Side),
    /// The role has `BYPASSRLS`.
    #[error(
        "has BYPASSRLS or may become a role that has it, so row-level security does not bind it: use `{0}`"
    )]
    BypassRls(Side),
    /// The role has `CREATEROLE`: before PostgreSQL 16 it could make itself a member of any role.
    #[error("has CREATEROLE or may become a role that has it, and could give itself more rights: use `{0}`")]
    CreateRole(Side),
    /// The role owns tables, or may act as a role that does, and could lift their policies.
    #[error("owns the tables or may become their owner: use `{0}`")]
    Owner(Side),
    /// The role is not a member of the one that the policies name.
    #[error("is not `{0}` nor a member of it")]
    NotMember(Side),
    /// The role that serves requests could act across organizations.
    #[error("is a member of `berth_system`, and requests must not see every organization: use `{0}`")]
    SystemToo(Side),
}

/// Which pool is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that serves requests.
    App,
    /// The one that works across organizations.
    System,
}

impl std::fmt::Display for Side {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.role())
    }
}

impl Side {
    /// The role that the policies name.
    pub(crate) const fn role(self) -> &'static str {
        match self {
            Self::App => "berth_app",
            Self::System => "berth_system",
        }
    }
}

pub(crate) async fn check(pool: &PgPool, side: Side) -> Result<(), ConnectError> {
    check_role(pool, side).await?;
    check_schema(pool).await
}

async fn check_role(pool: &PgPool, side: Side) -> Result<(), ConnectError> {
    // Being able to become a role (MEMBER) is as bad as being it.
    let found = sqlx::query!(
        r#"SELECT
            rolname::text AS "role!",
            EXISTS (
                SELECT FROM pg_roles AS other
                WHERE other.rolsuper AND pg_has_role(other.oid, 'MEMBER')
            ) AS "superuser!",
            EXISTS (
                SELECT FROM pg_roles AS other
                WHERE other.rolbypassrls AND pg_has_role(other.oid, 'MEMBER')
            ) AS "bypass_rls!",
            EXISTS (
                SELECT FROM pg_roles AS other
                WHERE other.rolcreaterole AND pg_has_role(other.oid, 'MEMBER')
            ) AS "create_role!",
            EXISTS (
                SELECT FROM pg_class
                WHERE relnamespace = 'public'::regnamespace
                    AND relkind IN ('r', 'p')
                    AND pg_has_role(relowner, 'MEMBER')
            ) AS "owner!",
            EXISTS (
                SELECT FROM pg_roles AS wanted
                WHERE wanted.rolname = $1 AND pg_has_role(wanted.oid, 'USAGE')
            ) AS "member!",
            EXISTS (
                SELECT FROM pg_roles AS wanted
                WHERE wanted.rolname = 'berth_system' AND pg_has_role(wanted.oid, 'MEMBER')
            ) AS "system!"
        FROM pg_roles
        WHERE rolname = current_user"#,
        side.role(),
    )
    .fetch_one(pool)
    .await
    .map_err(Error::from)?;
    let fault = if found.superuser {
        RoleFault::Superuser(side)
    } else if found.bypass_rls {
        RoleFault::BypassRls(side)
    } else if found.owner {
        RoleFault::Owner(side)
    } else if found.create_role {
        RoleFault::CreateRole(side)
    } else if !found.member {
        RoleFault::NotMember(side)
    } else if side == Side::App && found.system {
        RoleFault::SystemToo(side)
    } else {
        return Ok(());
    };
    Err(ConnectError::Role {
        role: found.role,
        fault,
    })
}

async fn check_schema(pool: &PgPool) -> Result<(), ConnectError> {
    let needed = MIGRATOR
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    // The table of migrations is sqlx's own and unknown to the offline data, hence no checked macro.
    let applied: Result<Option<i64>, sqlx::Error> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(pool)
            .await;
    match applied {
        Ok(Some(found)) if found >= needed => Ok(()),
        Ok(Some(found)) => Err(ConnectError::SchemaTooOld { found, needed }),
        Ok(None) => Err(ConnectError::NotMigrated),
        // No such table; or one that was never opened to this role.
        Err(sqlx::Error::Database(refusal))
            if matches!(refusal.code().as_deref(), Some("42P01" | "42501")) =>
        {
            Err(ConnectError::NotMigrated)
        }
        Err(error) => Err(ConnectError::Store(error.into())),
    }
}
