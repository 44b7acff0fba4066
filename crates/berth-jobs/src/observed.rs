//! What operators see of queued work.

use berth_queue::{Delivery, Outcome};
use berth_telemetry::metrics::names;
use berth_telemetry::traces::{self, Kind};
use tokio::time::Instant;

/// Does `work`, and tells log and metrics what came of it.
pub(crate) async fn observed(
    kind: &'static str,
    delivery: &Delivery,
    work: impl Future<Output = Outcome>,
) -> Outcome {
    let begun = Instant::now();
    let span = traces::begin(kind, Kind::Consumer, delivery.message.traceparent.as_deref());
    let outcome = work.await;
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (message, attempt) = (&delivery.message, delivery.attempt);
    let organization = message.organization.map(tracing::field::display);
    let word = match &outcome {
        Outcome::Done => {
            tracing::info!(queue.kind = kind, message.id = %message.id, organization.id = organization, attempt,
                duration_ms, "queued work is done");
            "done"
        }
        Outcome::Retry { after, reason } => {
            tracing::info!(queue.kind = kind, message.id = %message.id, organization.id = organization, attempt,
                duration_ms, after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX), reason,
                "queued work is tried again later");
            "retry"
        }
        Outcome::Fail { reason } => {
            tracing::error!(queue.kind = kind, message.id = %message.id, organization.id = organization, attempt,
                duration_ms, reason, "queued work cannot be done and is a dead letter");
            "fail"
        }
    };
    if let Some(span) = span {
        span.tell("messaging.message.id", delivery.message.id.to_string());
        span.tell("berth.outcome", word);
        if word == "fail" {
            span.fail("it cannot be done");
        }
    }
    metrics::counter!(names::JOBS_TOTAL, "kind" => kind, "outcome" => word).increment(1);
    outcome
}
