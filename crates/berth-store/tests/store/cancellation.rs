//! Work that nobody waits for any more.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sqlx::{Connection as _, PgConnection};

use crate::world::World;

/// How long the database may take to end what was given up.
const LIMIT: Duration = Duration::from_secs(10);

/// Begins transactions, and gives up after a while, wherever they are then.
async fn give_up(world: &World, patience: Duration) {
    let begin = async {
        tokio::join!(
            world.store.public(),
            world.store.public(),
            world.store.public(),
            world.store.public(),
        )
    };
    let begun = Instant::now();
    let wait = async {
        // Timers are too coarse for this.
        while begun.elapsed() < patience {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        transactions = begin => drop(transactions),
        () = wait => {}
    }
}

#[tokio::test]
async fn transaction_whose_beginning_is_not_waited_for_is_ended() -> Result<()> {
    let world = World::new().await?;
    let mut superuser = PgConnection::connect(&world.database.superuser_url()).await?;
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    for step in 0..50 {
        let patience = Duration::from_micros(step * 100);
        give_up(&world, patience).await;
        // What is dropped is rolled back a little later; what is forgotten stays until its connection is used again.
        let since = Instant::now();
        while sqlx::query_scalar::<_, i64>(open)
            .fetch_one(&mut superuser)
            .await?
            > 0
        {
            ensure!(
                since.elapsed() < LIMIT,
                "a transaction of nobody is open, after {patience:?}"
            );
        }
    }
    Ok(())
}
