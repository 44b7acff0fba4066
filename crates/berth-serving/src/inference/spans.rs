//! The way of a request as parts of its trace.
//!
//! The runner has no network: it tells how long its stages took, and they are exported here for it. When the first of them began
//! is not known exactly, since there and back take time too: what is left of the attempt is shared between the two.

use std::time::{Duration, SystemTime};

use berth_domain::trail::{Attempt, Stages, Trail, Way};
use berth_telemetry::traces::{Kind, Part, Span};

/// Adds the parts of `trail` to `request`. The attempts began so long after the key was checked.
pub(super) fn export(request: &Span, trail: &Trail, asked: &[Duration]) {
    if !request.is_recorded() {
        return;
    }
    let end = SystemTime::from(trail.at);
    let begun = end.checked_sub(microseconds(trail.total_us)).unwrap_or(end);
    let admitted = begun + microseconds(trail.admit_us);
    own(request, "admit", begun, trail.admit_us);
    own(request, "resolve", admitted, trail.resolve_us);
    for (attempt, &after) in trail.attempts.iter().zip(asked) {
        export_attempt(request, trail, attempt, admitted + after);
    }
    if let Some(version) = trail.version {
        request.tell("berth.model.version", i64::from(version));
    }
    request.tell("berth.outcome", trail.outcome.clone());
}

fn export_attempt(request: &Span, trail: &Trail, attempt: &Attempt, begun: SystemTime) {
    let way = match attempt.way {
        Way::Socket => "socket",
        Way::Worker => "worker",
    };
    let asked = request.part(Part {
        name: "attempt".into(),
        kind: Kind::Client,
        begun,
        took: microseconds(attempt.took_us),
        attributes: &[
            ("berth.replica.id", attempt.replica_id.to_string().into()),
            ("berth.worker.id", attempt.worker_id.to_string().into()),
            ("berth.way", way.into()),
            ("berth.outcome", attempt.outcome.clone().into()),
        ],
    });
    if let Some(stages) = trail.runner.filter(|_| attempt.outcome == "answered") {
        export_stages(&asked, &stages, begun, attempt.took_us);
    }
}

fn export_stages(asked: &Span, stages: &Stages, begun: SystemTime, took_us: u64) {
    let all = [
        ("prepare", stages.prepare_us),
        ("queue", stages.queue_us),
        ("batch wait", stages.batch_wait_us),
        ("compute", stages.compute_us),
        ("post", stages.post_us),
    ];
    let inside = all.iter().fold(0_u64, |sum, (_, took)| sum.saturating_add(*took));
    let mut at = begun + microseconds(took_us.saturating_sub(inside) / 2);
    for (name, took_us) in all {
        let took = microseconds(took_us);
        let batch = [
            ("berth.batch.requests", i64::from(stages.batch_requests).into()),
            (
                "berth.batch.weight",
                i64::try_from(stages.batch_weight).unwrap_or(i64::MAX).into(),
            ),
        ];
        asked.part(Part {
            name: name.into(),
            kind: Kind::Internal,
            begun: at,
            took,
            attributes: if name == "compute" { &batch } else { &[] },
        });
        at += took;
    }
}

fn own(request: &Span, name: &'static str, begun: SystemTime, took_us: u64) {
    request.part(Part {
        name: name.into(),
        kind: Kind::Internal,
        begun,
        took: microseconds(took_us),
        attributes: &[],
    });
}

fn microseconds(count: u64) -> Duration {
    Duration::from_micros(count)
}
