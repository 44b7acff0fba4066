//! What the server needs, whether it can be reached, and whether the server takes requests without it.
//!
//! Once everything has been there, a server goes on while either the database or coordination is away: each of them keeps
//! its keys current, and warm inference needs no more. If it counted as not ready then, whatever balances the load would
//! drop every node at the same time, since all of them miss the same part.

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

/// Whether the server can take requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct Report {
    /// Whether it takes requests.
    pub(crate) ready: bool,
    /// Whether it does so although a part cannot be reached: then some requests are refused.
    degraded: bool,
    /// Whether it is about to stop: it answers, and clients should go elsewhere.
    draining: bool,
    /// The parts.
    parts: Vec<Part>,
}

/// Something that the server needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Its name.
    #[schema(example = "database")]
    name: &'static str,
    /// Whether it can be reached.
    ready: bool,
}

impl Report {
    /// The same of a server that is about to stop.
    pub(crate) fn draining(self) -> Self {
        Self {
            ready: false,
            draining: true,
            ..self
        }
    }
}

/// What is known of the parts. They are asked by one request at a time; the others wait for its answer.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Whether everything has been there at the same time, ever.
    was_complete: bool,
    latest: Option<(Instant, Report)>,
}

impl Readiness {
    /// How the server stands with the parts of `services`, as they were a second ago at most.
    pub(crate) async fn report(&self, services: &Services) -> Report {
        let mut known = self.0.lock().await;
        if let Some((asked, report)) = &known.latest
            && asked.elapsed() < LIFETIME
        {
            return report.clone();
        }
        let asked = Instant::now();
        let (database, coordination) = futures_util::join!(
            answers("database", services.store.check()),
            answers("coordination", services.coordination.check()),
        );
        let report = known.judge(vec![database, coordination]);
        known.latest = Some((asked, report.clone()));
        report
    }
}

impl Known {
    /// What it means that the parts are like this.
    fn judge(&mut self, parts: Vec<Part>) -> Report {
        let complete = parts.iter().all(|part| part.ready);
        self.was_complete |= complete;
        let ready = self.was_complete && parts.iter().any(|part| part.ready);
        Report {
            ready,
            degraded: ready && !complete,
            draining: false,
            parts,
        }
    }
}

async fn answers<E: std::error::Error>(
    name: &'static str,
    check: impl Future<Output = Result<(), E>>,
) -> Part {
    let ready = match tokio::time::timeout(PATIENCE, check).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(part = name, %error, "a part is away");
            false
        }
        Err(_) => {
            tracing::warn!(part = name, "a part is away: no answer in time");
            false
        }
    };
    Part { name, ready }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_is_ready_once_all_was_there_and_while_one_part_is() {
        let mut known = Known::default();
        // Database, coordination; ready, degraded.
        for (parts, expected) in [
            ([false, false], (false, false)),
            ([true, false], (false, false)),
            ([false, true], (false, false)),
            ([true, true], (true, false)),
            ([true, false], (true, true)),
            ([false, true], (true, true)),
            ([false, false], (false, false)),
            ([false, true], (true, true)),
            ([true, true], (true, false)),
        ] {
            let parts = ["database", "coordination"]
                .into_iter()
                .zip(parts)
                .map(|(name, ready)| Part { name, ready });
            let report = known.judge(parts.collect());
            assert_eq!((report.ready, report.degraded), expected, "{report:?}");
        }
    }
}
