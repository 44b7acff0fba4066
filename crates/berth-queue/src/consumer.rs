//! A running consumer.

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A consumer that is running. Dropping it stops it too, without waiting: what is being handled is finished in the
/// background.
#[derive(Debug)]
pub struct Consumer {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Consumer {
    /// The consumer whose `task` ends after `stop` is cancelled.
    pub(crate) fn new(stop: CancellationToken, task: JoinHandle<()>) -> Self {
        Self {
            stop: stop.drop_guard(),
            task,
        }
    }

    /// Takes no more messages, and waits until those that are being handled have had their outcome.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a consumer of queued work did not end in order");
        }
    }
}
