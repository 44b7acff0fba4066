//! Small things are done where they arrive, large ones on the blocking pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::engine;
use crate::failure::{Code, Failure};

/// What works on so many bytes or fewer is done at once.
const INLINE_BYTES: usize = 16 << 10;

/// How many large things are done at once.
const AT_ONCE: usize = 2;

/// Bounds the large things that are done at once.
pub(crate) struct Offload(Arc<Semaphore>);

impl Offload {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Does `work`, which reads or writes about so many `bytes`. On the blocking pool it can see in its argument when
    /// nobody waits for it any more. Fails when the deadline passes before.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        deadline: Option<Instant>,
        work: impl FnOnce(&AtomicBool) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if bytes <= INLINE_BYTES {
            return work(&AtomicBool::new(false));
        }
        let gone = Arc::new(AtomicBool::new(false));
        let _leaving = SetOnDrop(Arc::clone(&gone));
        let offloaded = async {
            // The permit goes with the work: it may outlive whoever waits for it.
            let permit = Arc::clone(&self.0).acquire_owned().await;
            let result = tokio::task::spawn_blocking(move || {
                let result = work(&gone);
                drop(permit);
                result
            });
            result.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a request made its thread panic");
                Err(Failure::new(
                    Code::Internal,
                    "The request hit a defect of the server.",
                ))
            })
        };
        match deadline {
            None => offloaded.await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), offloaded)
                .await
                .unwrap_or_else(|_| Err(engine::late())),
        }
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
