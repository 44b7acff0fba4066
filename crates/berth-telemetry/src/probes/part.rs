//! What a process needs.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::timeout;

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

type Check = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// Something that a process needs, and how it is asked for a sign of life.
pub struct Part {
    name: &'static str,
    check: Box<dyn Fn() -> Check + Send + Sync>,
}

impl Part {
    /// A part called `name`, which is there when `check` succeeds in time.
    pub fn new<F, E>(name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + Send + Sync + 'static,
    {
        Self {
            name,
            check: Box::new(move || {
                let checked = check();
                Box::pin(async move { checked.await.map_err(Into::into) })
            }),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is there; the log says why not.
    pub(super) async fn is_ready(&self) -> bool {
        match timeout(PATIENCE, (self.check)()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(part = self.name, %error, source = ?error.source(), "not ready");
                false
            }
            Err(_) => {
                tracing::warn!(part = self.name, "not ready: no answer in time");
                false
            }
        }
    }
}
