//! Migrating as an owner who is no superuser, and letting the roles log in.

use anyhow::{Context as _, Result};
use berth_domain::random::SeededRandom;
use berth_domain::secret::Secret;
use berth_store::migrate::MigrateError;
use berth_store::{MigrateOptions, Store, migrate};
use berth_test_support::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use crate::world::options;

fn migrate_options(database: &TestDatabase) -> MigrateOptions {
    MigrateOptions {
        owner_url: Secret::new(database.owner_url()),
        app_url: Secret::new(database.app_url()),
        system_url: Secret::new(database.system_url()),
    }
}

/// Everything that tells one state of a schema from another.
async fn fingerprint(database: &TestDatabase) -> Result<Vec<String>> {
    let mut owner = PgConnection::connect(&database.owner_url()).await?;
    Ok(sqlx::query_scalar(
        "SELECT _sqlx_migrations::text FROM _sqlx_migrations
        UNION ALL
        SELECT relname || ' ' || COALESCE(relacl::text, '') FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL
        SELECT rolname || ' ' || oid FROM pg_roles WHERE rolname LIKE 'berth\\_%'
            AND rolname IN ('berth_app', 'berth_system', 'berth_owner')
        ORDER BY 1",
    )
    .fetch_all(&mut owner)
    .await?)
}

#[tokio::test]
async fn empty_database_is_migrated_by_an_owner_who_is_no_superuser() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    migrate(&migrate_options(&database), &SeededRandom::new(1)).await?;
    let store = Store::connect(&options(&database)).await?;
    store.check().await?;
    Ok(())
}

#[tokio::test]
async fn migrating_again_changes_nothing() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    migrate(&migrate_options(&database), &SeededRandom::new(1)).await?;
    let before = fingerprint(&database).await?;
    migrate(&migrate_options(&database), &SeededRandom::new(2)).await?;
    assert_eq!(fingerprint(&database).await?, before);
    Ok(())
}

#[tokio::test]
async fn two_that_migrate_at_once_both_succeed() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    let (options, random) = (migrate_options(&database), SeededRandom::new(1));
    let (first, second) = tokio::join!(migrate(&options, &random), migrate(&options, &random));
    first?;
    second?;
    Ok(())
}

/// The same database by a login of another name, which is not there yet.
fn as_login(url: &str, login: &str, password: &str) -> Result<Secret> {
    let url = url
        .parse::<PgConnectOptions>()?
        .username(login)
        .password(password)
        .to_url_lossy();
    Ok(Secret::new(url.as_str()))
}

#[tokio::test]
async fn login_of_another_name_is_made_and_joined() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    let login = format!("{}_login", database.name());
    let mut superuser = PgConnection::connect(&database.superuser_url()).await?;
    let app_url = as_login(&database.app_url(), &login, "a password: /@%")?;
    let migrated = MigrateOptions {
        app_url: app_url.clone(),
        ..migrate_options(&database)
    };
    let result = async {
        migrate(&migrated, &SeededRandom::new(1)).await?;
        migrate(&migrated, &SeededRandom::new(1)).await?;
        // A new password in the configuration becomes the password.
        let changed = MigrateOptions {
            app_url: as_login(&database.app_url(), &login, "another")?,
            ..migrated.clone()
        };
        migrate(&changed, &SeededRandom::new(1)).await?;
        PgConnection::connect(changed.app_url.expose()).await?;
        let stored: Option<String> =
            sqlx::query_scalar("SELECT rolpassword FROM pg_authid WHERE rolname = $1")
                .bind(&login)
                .fetch_one(&mut superuser)
                .await?;
        anyhow::Ok(stored)
    }
    .await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP ROLE IF EXISTS {login}")))
        .execute(&mut superuser)
        .await?;
    let stored = result?.context("a password is stored")?;
    assert!(stored.starts_with("SCRAM-SHA-256$4096:"), "{stored}");
    Ok(())
}

#[tokio::test]
async fn database_that_cannot_be_reached_is_told() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    let gone = MigrateOptions {
        owner_url: Secret::new("postgres://nobody@127.0.0.1:1/berth"),
        ..migrate_options(&database)
    };
    let error = migrate(&gone, &SeededRandom::new(1))
        .await
        .err()
        .context("it was migrated")?;
    assert!(
        matches!(&error, MigrateError::Store(error) if error.is_transient()),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn password_outside_ascii_is_refused_before_it_is_set() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    let login = format!("{}_login", database.name());
    let mut superuser = PgConnection::connect(&database.superuser_url()).await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE berth_app"
    )))
    .execute(&mut superuser)
    .await?;
    let odd = MigrateOptions {
        app_url: as_login(&database.app_url(), &login, "geheimé")?,
        ..migrate_options(&database)
    };
    let result = migrate(&odd, &SeededRandom::new(1)).await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP ROLE {login}")))
        .execute(&mut superuser)
        .await?;
    assert!(
        matches!(&result, Err(MigrateError::Password { role }) if *role == login),
        "{result:?}"
    );
    Ok(())
}
