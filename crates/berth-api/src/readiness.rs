//! What the server needs, and whether it can be reached.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::services::Services;

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer counts. Everyone may ask, so asking must not cost a query each time.
const LIFETIME: Duration = Duration::from_secs(1);

/// Something that the server needs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Its name.
    #[schema(example = "database")]
    name: &'static str,
    /// Whether it can be reached.
    pub(crate) ready: bool,
}

/// What is known of the parts. They are asked by one request at a time; the others wait for its answer.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Vec<Part>)>>);

impl Readiness {
    /// The parts of `services`, as they were a second ago at most.
    pub(crate) async fn parts(&self, services: &Services) -> Vec<Part> {
        let mut known = self.0.lock().await;
        if let Some((asked, parts)) = &*known
            && asked.elapsed() < LIFETIME
        {
            return parts.clone();
        }
        let asked = Instant::now();
        let (database, coordination) = futures_util::join!(
            answers("database", services.store.check()),
            answers("coordination", services.coordination.check()),
        );
        let parts = vec![database, coordination];
        *known = Some((asked, parts.clone()));
        parts
    }
}

async fn answers<E: std::error::Error>(
    name: &'static str,
    check: impl Future<Output = Result<(), E>>,
) -> Part {
    let answered = match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(part = name, %error, "not ready");
            false
        }
        Err(_) => {
            tracing::warn!(part = name, "not ready: no answer in time");
            false
        }
    };
    Part {
        name,
        ready: answered,
    }
}
