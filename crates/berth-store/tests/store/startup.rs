//! Which roles the store starts with.

use anyhow::{Context as _, Result};
use berth_domain::secret::Secret;
use berth_store::startup_check::{RoleFault, Side};
use berth_store::{ConnectError, Options, Store};
use berth_test_support::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use crate::world::options;

async fn refusal(options: &Options) -> Result<ConnectError> {
    Store::connect(options).await.err().context("the store started")
}

fn fault(error: &ConnectError) -> Option<RoleFault> {
    match error {
        ConnectError::Role { fault, .. } => Some(*fault),
        _ => None,
    }
}

#[tokio::test]
async fn superuser_is_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let superuser = Secret::new(database.superuser_url());
    let error = refusal(&Options {
        app_url: superuser.clone(),
        ..options(&database)
    })
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::Superuser(Side::App)), "{error}");
    let error = refusal(&Options {
        system_url: superuser,
        ..options(&database)
    })
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::Superuser(Side::System)), "{error}");
    Ok(())
}

#[tokio::test]
async fn owner_of_the_tables_is_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let error = refusal(&Options {
        app_url: Secret::new(database.owner_url()),
        ..options(&database)
    })
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::Owner(Side::App)), "{error}");
    Ok(())
}

#[tokio::test]
async fn roles_of_the_two_pools_cannot_be_mixed_up() -> Result<()> {
    let database = TestDatabase::create().await?;
    let right = options(&database);
    let error = refusal(&Options {
        app_url: right.system_url.clone(),
        system_url: right.app_url.clone(),
        ..right
    })
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::NotMember(Side::App)), "{error}");
    Ok(())
}

/// A role for one test: `statements` are run with its name in the place of `{}`. Answers its URL.
async fn with_role<T>(
    database: &TestDatabase,
    statements: &[&str],
    work: impl AsyncFnOnce(Secret) -> Result<T>,
) -> Result<T> {
    let role = format!("{}_role", database.name());
    let mut superuser = PgConnection::connect(&database.superuser_url()).await?;
    for statement in statements {
        let statement = statement.replace("{}", &role);
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut superuser)
            .await?;
    }
    let url = database
        .app_url()
        .parse::<PgConnectOptions>()?
        .username(&role)
        .password("a password")
        .to_url_lossy();
    let result = work(Secret::new(url.as_str())).await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP ROLE {role}")))
        .execute(&mut superuser)
        .await?;
    result
}

#[tokio::test]
async fn role_that_bypasses_row_level_security_is_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let error = with_role(
        &database,
        &["CREATE ROLE {} LOGIN BYPASSRLS PASSWORD 'a password' IN ROLE berth_app"],
        async |url| {
            refusal(&Options {
                app_url: url,
                ..options(&database)
            })
            .await
        },
    )
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::BypassRls(Side::App)), "{error}");
    Ok(())
}

#[tokio::test]
async fn role_that_makes_roles_is_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let error = with_role(
        &database,
        &["CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'a password' IN ROLE berth_app"],
        async |url| {
            refusal(&Options {
                app_url: url,
                ..options(&database)
            })
            .await
        },
    )
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::CreateRole(Side::App)), "{error}");
    Ok(())
}

#[tokio::test]
async fn role_that_could_become_the_owner_is_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let error = with_role(
        &database,
        &["CREATE ROLE {} LOGIN NOINHERIT PASSWORD 'a password' IN ROLE berth_app, berth_owner"],
        async |url| {
            refusal(&Options {
                app_url: url,
                ..options(&database)
            })
            .await
        },
    )
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::Owner(Side::App)), "{error}");
    Ok(())
}

#[tokio::test]
async fn role_that_serves_requests_must_not_see_every_organization() -> Result<()> {
    let database = TestDatabase::create().await?;
    let error = with_role(
        &database,
        &["CREATE ROLE {} LOGIN PASSWORD 'a password' IN ROLE berth_app, berth_system"],
        async |url| {
            refusal(&Options {
                app_url: url,
                ..options(&database)
            })
            .await
        },
    )
    .await?;
    assert_eq!(fault(&error), Some(RoleFault::SystemToo(Side::App)), "{error}");
    Ok(())
}

#[tokio::test]
async fn member_of_the_right_role_is_accepted() -> Result<()> {
    let database = TestDatabase::create().await?;
    with_role(
        &database,
        &["CREATE ROLE {} LOGIN PASSWORD 'a password' IN ROLE berth_app"],
        async |url| {
            let store = Store::connect(&Options {
                app_url: url,
                ..options(&database)
            })
            .await?;
            store.check().await?;
            store.close().await;
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn database_without_a_schema_is_refused() -> Result<()> {
    let database = TestDatabase::create_empty().await?;
    let error = refusal(&options(&database)).await?;
    assert!(matches!(error, ConnectError::NotMigrated), "{error:?}");
    assert!(error.to_string().contains("run `berth migrate`"));
    Ok(())
}

#[tokio::test]
async fn schema_that_is_too_old_is_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut owner = PgConnection::connect(&database.owner_url()).await?;
    sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE version > 5")
        .execute(&mut owner)
        .await?;
    let error = refusal(&options(&database)).await?;
    assert!(
        matches!(error, ConnectError::SchemaTooOld { found: 5, needed } if needed > 5),
        "{error:?}"
    );
    assert!(error.to_string().contains("run `berth migrate`"));
    Ok(())
}

#[tokio::test]
async fn schema_of_a_newer_release_is_accepted() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut owner = PgConnection::connect(&database.owner_url()).await?;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of the next release', true, '', 0)",
    )
    .execute(&mut owner)
    .await?;
    Store::connect(&options(&database)).await?;
    Ok(())
}

#[tokio::test]
async fn unreadable_url_is_told() -> Result<()> {
    let database = TestDatabase::create().await?;
    let error = refusal(&Options {
        app_url: Secret::new("not a url"),
        ..options(&database)
    })
    .await?;
    assert!(matches!(error, ConnectError::Url(_)), "{error:?}");
    Ok(())
}
