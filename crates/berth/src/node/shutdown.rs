//! Ending in order: soft, then hard, with every task tracked.
//!
//! The first SIGTERM or SIGINT asks everything to finish what it is doing; what has not ended within the limit, or by
//! the second signal, is dropped.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a part may take longer than its limit, to say that it was cut.
const GRACE: Duration = Duration::from_secs(2);

/// The tasks of a process and the wish that they end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Shutdown {
    /// Begins to listen for SIGTERM and SIGINT.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let Self { soft, hard, .. } = shutdown.clone();
        tokio::spawn(async move {
            let mut one = async || {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            };
            one().await;
            tracing::info!("ending: finishing what is running");
            soft.cancel();
            one().await;
            tracing::warn!("ending at once, on the second signal");
            hard.cancel();
        });
        Ok(shutdown)
    }

    /// The wish to end: done once it is time to finish.
    pub(crate) fn token(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Asks everything to end.
    pub(crate) fn begin(&self) {
        self.soft.cancel();
    }

    /// Runs a task that the process cannot live without: when it fails, or ends before it is time, the process ends.
    pub(crate) fn run<E>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: Into<anyhow::Error> + Send,
    {
        let Self { soft, failed, .. } = self.clone();
        self.tasks.spawn(async move {
            let outcome = task.await.map_err(Into::into);
            if let Err(error) = outcome {
                tracing::error!(
                    task = name,
                    error = format!("{error:#}"),
                    "a part of the process failed: ending"
                );
            } else if !soft.is_cancelled() {
                tracing::error!(task = name, "a part of the process ended by itself: ending");
            } else {
                return;
            }
            failed.store(true, Ordering::Relaxed);
            soft.cancel();
        });
    }

    /// Waits for the wish to end, then for the tasks, at most `limit` and a little: each part cuts what it runs by itself
    /// at the limit.
    ///
    /// Fails when a task failed, or had to be cut.
    pub(crate) async fn wait(self, limit: Duration) -> anyhow::Result<()> {
        self.soft.cancelled().await;
        self.tasks.close();
        let cut = tokio::select! {
            () = self.tasks.wait() => false,
            () = tokio::time::sleep(limit + GRACE) => true,
            () = self.hard.cancelled() => true,
        };
        anyhow::ensure!(!cut, "{} tasks had not ended and were cut", self.tasks.len());
        anyhow::ensure!(
            !self.failed.load(Ordering::Relaxed),
            "a part of the process failed; the log says which"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn tasks_finish_what_they_are_doing() {
        let shutdown = Shutdown::default();
        let token = shutdown.token();
        let finished = Arc::new(AtomicBool::new(false));
        let mark = finished.clone();
        shutdown.run("worker", async move {
            token.cancelled().await;
            tokio::task::yield_now().await;
            mark.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        });
        shutdown.begin();
        shutdown.wait(LIMIT).await.expect("ends in order");
        assert!(finished.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn failing_task_ends_the_process() {
        let shutdown = Shutdown::default();
        let token = shutdown.token();
        shutdown.run("steady", async move {
            token.cancelled().await;
            anyhow::Ok(())
        });
        shutdown.run("broken", async { Err(anyhow::anyhow!("no")) });
        let error = shutdown.wait(LIMIT).await.expect_err("says that a part failed");
        assert!(error.to_string().contains("failed"), "{error}");
    }

    #[tokio::test]
    async fn task_that_ends_too_early_ends_the_process() {
        let shutdown = Shutdown::default();
        shutdown.run("short", async { anyhow::Ok(()) });
        assert!(shutdown.wait(LIMIT).await.is_err());
    }

    #[tokio::test]
    async fn task_that_does_not_end_is_cut() {
        let shutdown = Shutdown::default();
        shutdown.run("deaf", async {
            std::future::pending::<()>().await;
            anyhow::Ok(())
        });
        shutdown.begin();
        // As the second signal does.
        shutdown.hard.cancel();
        let error = shutdown.wait(LIMIT).await.expect_err("says that it was cut");
        assert!(error.to_string().contains("1 tasks"), "{error}");
    }
}
