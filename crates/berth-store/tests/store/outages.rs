//! Postgres out of reach.

use std::time::Duration;

use anyhow::{Context as _, Result};
use berth_domain::secret::Secret;
use berth_store::changes::Topic;
use berth_store::{Options, Store};
use berth_test_support::{Line, TestDatabase, wait_until};

use crate::world::options;

#[tokio::test]
async fn lost_line_is_unavailable_and_heals_by_itself() -> Result<()> {
    let database = TestDatabase::create().await?;
    let (line, app_url) = Line::to_url(&database.app_url()).await?;
    let store = Store::connect(&Options {
        app_url: Secret::new(app_url),
        acquire_timeout: Duration::from_millis(500),
        ..options(&database)
    })
    .await?;
    store.check().await?;
    line.cut();
    let error = store
        .change_value(Topic::Keys)
        .await
        .err()
        .context("answered over a cut line")?;
    assert!(error.is_transient(), "{error:?}");
    assert!(store.check().await.is_err());
    line.mend();
    wait_until(Duration::from_secs(10), || async { store.check().await.is_ok() }).await?;
    Ok(())
}

#[tokio::test]
async fn pool_without_a_free_connection_is_unavailable() -> Result<()> {
    let database = TestDatabase::create().await?;
    let store = Store::connect(&Options {
        max_connections: 1,
        acquire_timeout: Duration::from_millis(200),
        ..options(&database)
    })
    .await?;
    let _held = store.public().await?;
    let error = store.public().await.err().context("two of one")?;
    assert!(error.is_transient(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn transaction_that_nobody_ends_holds_up_no_change_for_long() -> Result<()> {
    let database = TestDatabase::create().await?;
    let stalling = Store::connect(&Options {
        idle_timeout: Duration::from_millis(300),
        system_idle_timeout: Duration::from_millis(300),
        ..options(&database)
    })
    .await?;
    let store = Store::connect(&options(&database)).await?;
    let before = store.change_value(Topic::Keys).await?;

    // Every revocation moves this counter, and so waits for whoever has it locked.
    let mut held = stalling.public().await?;
    held.changes().bump(Topic::Keys).await?;
    let mut next = store.public().await?;
    assert_eq!(next.changes().bump(Topic::Keys).await?, before + 1);
    next.commit().await?;
    let error = held.commit().await.err().context("its time was over")?;
    assert!(error.is_transient(), "{error:?}");

    let mut held = stalling.system().await?;
    held.changes().bump(Topic::Keys).await?;
    let mut next = store.system().await?;
    assert_eq!(next.changes().bump(Topic::Keys).await?, before + 2);
    next.commit().await?;
    assert!(held.commit().await.is_err());
    stalling.check().await?;
    Ok(())
}

#[tokio::test]
async fn waiting_for_a_lock_ends() -> Result<()> {
    let database = TestDatabase::create().await?;
    let hasty = Store::connect(&Options {
        lock_timeout: Duration::from_millis(200),
        ..options(&database)
    })
    .await?;
    let store = Store::connect(&options(&database)).await?;
    let mut held = store.public().await?;
    let value = held.changes().bump(Topic::Keys).await?;
    let mut waiting = hasty.public().await?;
    let error = waiting
        .changes()
        .bump(Topic::Keys)
        .await
        .err()
        .context("locked")?;
    assert!(error.is_transient(), "{error:?}");
    held.commit().await?;
    assert_eq!(store.change_value(Topic::Keys).await?, value);
    Ok(())
}
