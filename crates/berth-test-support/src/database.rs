//! A migrated database for one test.
//!
//! The migrations run once per state of `migrations/`: into a template database, as the owner, on the server that
//! `BERTH_TEST_DATABASE_URL` names. A test's database is a copy of the template, which takes a fraction of a second.

mod locks;
mod roles;
mod rows;
mod template;

use std::str::FromStr as _;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::cache::unique;
use crate::required;

pub use self::locks::LockedTable;
use self::roles::Role;

/// A database of its own, migrated like production, dropped with this value.
///
/// Its URLs lead to the roles that the product uses; none of them is a superuser, who would ignore row-level
/// security.
#[derive(Debug)]
pub struct TestDatabase {
    admin: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// Copies the template, making it first where needed.
    ///
    /// Fails when `BERTH_TEST_DATABASE_URL` is not set, when its user may not make databases and roles, and when a
    /// migration fails.
    pub async fn create() -> Result<Self> {
        let admin = admin_options()?;
        let template = template::ensure(&admin).await?;
        let name = format!("berth_test_{}", unique());
        let mut connection = connect(&admin).await?;
        let statement = format!(
            "CREATE DATABASE {name} TEMPLATE {template} OWNER {}",
            Role::Owner.name()
        );
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .context("making a database for the test")?;
        connection
            .close()
            .await
            .context("closing the connection that made the database")?;
        Ok(Self { admin, name })
    }

    /// An empty database, owned by the owner and not migrated: for tests of the migrations themselves.
    pub async fn create_empty() -> Result<Self> {
        let admin = admin_options()?;
        // Makes the roles, too.
        template::ensure(&admin).await?;
        let name = format!("berth_test_{}", unique());
        let mut connection = connect(&admin).await?;
        let statement = format!("CREATE DATABASE {name} OWNER {}", Role::Owner.name());
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .context("making an empty database")?;
        connection
            .close()
            .await
            .context("closing the connection that made the database")?;
        Ok(Self { admin, name })
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As the owner, who migrates.
    pub fn owner_url(&self) -> String {
        self.url(Role::Owner)
    }

    /// As the role of requests, `berth_app`.
    pub fn app_url(&self) -> String {
        self.url(Role::App)
    }

    /// As the role of work across organizations, `berth_system`.
    pub fn system_url(&self) -> String {
        self.url(Role::System)
    }

    /// As the superuser of the server: for tests that such a user is refused, and for nothing else.
    pub fn superuser_url(&self) -> String {
        url(&self.admin.clone().database(&self.name))
    }

    fn url(&self, role: Role) -> String {
        let password = role.password(&self.admin);
        url(&self
            .admin
            .clone()
            .database(&self.name)
            .username(role.name())
            .password(&password))
    }
}

impl Drop for TestDatabase {
    #[expect(
        clippy::print_stderr,
        reason = "the test runner shows the output of a failed test"
    )]
    fn drop(&mut self) {
        // A runtime of its own: this one may be ending, and blocking inside it is not allowed.
        let (admin, name) = (self.admin.clone(), self.name.clone());
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(drop_database(&admin, &name))
        });
        match dropped.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the database {} was not dropped: {error:#}", self.name),
            Err(_) => eprintln!("the database {} was not dropped", self.name),
        }
    }
}

async fn drop_database(admin: &PgConnectOptions, name: &str) -> Result<()> {
    let mut connection = connect(admin).await?;
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

fn admin_options() -> Result<PgConnectOptions> {
    let url = required("BERTH_TEST_DATABASE_URL")?;
    PgConnectOptions::from_str(&url).map_err(|_| anyhow!("BERTH_TEST_DATABASE_URL is no Postgres URL"))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    PgConnection::connect_with(options)
        .await
        .context("connecting to the test server")
}

fn url(options: &PgConnectOptions) -> String {
    options.to_url_lossy().to_string()
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    async fn ask(url: &str, sql: &'static str) -> Result<bool> {
        let mut connection = PgConnection::connect(url).await?;
        Ok(sqlx::query(sql).fetch_one(&mut connection).await?.try_get(0)?)
    }

    #[tokio::test]
    async fn no_role_of_a_test_escapes_row_level_security() {
        let database = TestDatabase::create().await.expect("a database");
        let sql = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
        for url in [database.owner_url(), database.app_url(), database.system_url()] {
            assert!(!ask(&url, sql).await.expect("the role can sign in"), "{url}");
        }
        assert!(
            ask(&database.superuser_url(), sql)
                .await
                .expect("the superuser can sign in")
        );
    }

    #[tokio::test]
    async fn a_database_is_migrated_and_gone_afterwards() {
        let database = TestDatabase::create().await.expect("a database");
        let is_migrated = "SELECT count(*) > 0 FROM _sqlx_migrations WHERE success";
        assert!(
            ask(&database.owner_url(), is_migrated)
                .await
                .expect("the owner reads the table")
        );
        // A connection that is still open does not keep the database.
        let open = PgConnection::connect(&database.app_url())
            .await
            .expect("the role can sign in");
        let app_url = database.app_url();
        drop(database);
        drop(open);
        PgConnection::connect(&app_url)
            .await
            .expect_err("the database is gone");
    }

    #[tokio::test]
    async fn databases_made_at_once_are_separate() {
        let (first, second, empty) = tokio::join!(
            TestDatabase::create(),
            TestDatabase::create(),
            TestDatabase::create_empty()
        );
        let (first, second, empty) = (
            first.expect("a database"),
            second.expect("a database"),
            empty.expect("a database"),
        );
        let mut connection = PgConnection::connect(&first.owner_url())
            .await
            .expect("the owner signs in");
        sqlx::query("CREATE TABLE only_here (x int)")
            .execute(&mut connection)
            .await
            .expect("the owner may");
        let is_there = "SELECT to_regclass('only_here') IS NOT NULL";
        assert!(ask(&first.owner_url(), is_there).await.expect("can be asked"));
        assert!(!ask(&second.owner_url(), is_there).await.expect("can be asked"));
        let is_migrated = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
        assert!(!ask(&empty.owner_url(), is_migrated).await.expect("can be asked"));
    }
}
