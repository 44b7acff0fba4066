//! What uploads leave behind whose process was killed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use berth_artifacts::{Error, Staging};
use berth_domain::clock::Clock;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// An upload that nothing was added to for so long is not going on, here or in another process that shares the folder.
const LEFT_OVER: Duration = Duration::from_hours(24);

/// How often it is looked for.
const LOOK: Duration = Duration::from_hours(1);

/// Sweeps `staging` once.
///
/// Fails when the folder cannot be read, or something in it cannot be deleted.
pub(crate) async fn sweep(staging: &Staging, clock: &dyn Clock) -> Result<(), Error> {
    let swept = staging.sweep(SystemTime::from(clock.now()), LEFT_OVER).await?;
    if swept > 0 {
        tracing::info!(files = swept, "uploads that were broken off are swept away");
    }
    Ok(())
}

/// Sweeps `staging` again and again, until `shutdown`.
pub(crate) async fn keep_sweeping(staging: Staging, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    sweep_every(LOOK, &staging, &*clock, shutdown).await;
}

async fn sweep_every(every: Duration, staging: &Staging, clock: &dyn Clock, shutdown: CancellationToken) {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = sweep(staging, clock).await {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "the staging folder is not swept");
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::clock::Timestamp;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A clock that stands two days after a moment.
    #[derive(Debug)]
    struct Later(SystemTime);

    impl Clock for Later {
        fn now(&self) -> Timestamp {
            Timestamp::from(self.0 + 2 * LEFT_OVER)
        }
    }

    #[tokio::test]
    async fn leftovers_go_while_the_process_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(folder.path()).await.expect("opens");
        let left = folder.path().join("upload-left");
        let leave = || {
            std::fs::write(&left, "x").expect("can write");
            std::fs::metadata(&left)
                .and_then(|it| it.modified())
                .expect("has a time")
        };
        let clock = Later(leave());
        let shutdown = CancellationToken::new();
        let sweeping = sweep_every(Duration::from_millis(5), &staging, &clock, shutdown.clone());
        let watching = async {
            // The second one came after the first look.
            for _ in 0..2 {
                while left.exists() {
                    tokio::task::yield_now().await;
                }
                leave();
            }
            while left.exists() {
                tokio::task::yield_now().await;
            }
            shutdown.cancel();
        };
        timeout(LIMIT, async { tokio::join!(sweeping, watching) })
            .await
            .expect("everything is swept");
    }
}
