//! Every metric: its name, kind, unit and meaning. `docs/operating.md` tells what to watch.
//!
//! No label may grow without bound: no ids of keys, users, organizations or requests; names of models only under a cap.

use metrics::Unit;

/// What kind a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How samples are distributed.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name, with unit and `_total` where they belong.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// The unit, where it has one.
    pub unit: Option<Unit>,
    /// What it means, with its labels.
    pub description: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $constant:ident = $name:literal, $kind:ident, $unit:expr, $description:literal;)*) => {
        $(
            #[doc = $description]
            pub const $constant: &str = $name;
        )*

        /// All metrics.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, unit: $unit, description: $description },)*
        ];
    };
}

metrics! {
    BUILD_INFO = "berth_build_info", Gauge, None,
        "Always 1; its labels name the program and the version of the release.";
    REQUESTS_TOTAL = "berth_requests_total", Counter, None,
        "Requests answered, by route, model and class of status.";
    REQUEST_DURATION_SECONDS = "berth_request_duration_seconds", Histogram, Some(Unit::Seconds),
        "Time from the head of a request to its answer, by route.";
    REQUESTS_IN_FLIGHT = "berth_requests_in_flight", Gauge, None,
        "Requests that are being answered.";
    GATEWAY_OVERHEAD_SECONDS = "berth_gateway_overhead_seconds", Histogram, Some(Unit::Seconds),
        "Time of an inference request outside the runner: identifying, routing and sending.";
    QUEUE_WAIT_SECONDS = "berth_queue_wait_seconds", Histogram, Some(Unit::Seconds),
        "Time that a request waited in a runner before it was computed.";
    PREPARE_SECONDS = "berth_prepare_seconds", Histogram, Some(Unit::Seconds),
        "Time that a runner took to read a request, before it waited for its turn.";
    BATCH_WAIT_SECONDS = "berth_batch_wait_seconds", Histogram, Some(Unit::Seconds),
        "Time that a request waited in a runner for others to share a run with, while a thread was free.";
    BATCH_REQUESTS = "berth_batch_requests", Histogram, None,
        "Requests that shared the run of an answered request.";
    POST_SECONDS = "berth_post_seconds", Histogram, Some(Unit::Seconds),
        "Time that a runner took to write an answer.";
    COMPUTE_SECONDS = "berth_compute_seconds", Histogram, Some(Unit::Seconds),
        "Time that a runner computed for a request.";
    MODEL_RESIDENT_BYTES = "berth_model_resident_bytes", Gauge, Some(Unit::Bytes),
        "Memory that the runners of this worker take together.";
    MODEL_LOADS_TOTAL = "berth_model_loads_total", Counter, None,
        "Runners that this worker started to load a model, by purpose and outcome.";
    RUNNER_EXITS_TOTAL = "berth_runner_exits_total", Counter, None,
        "Runners of this worker that ended, by purpose and reason.";
    REPLICAS_UNPLACED = "berth_replicas_unplaced", Gauge, None,
        "Replicas that deployments want and no worker has room for, and deployments that cannot be read.";
    PLACEMENT_LOADS_TOTAL = "berth_placement_loads_total", Counter, None,
        "Copies of versions that the planner had loaded, by reason.";
    PLACEMENT_UNLOADS_TOTAL = "berth_placement_unloads_total", Counter, None,
        "Copies of versions that the planner had unloaded, by reason.";
    OUTBOX_MESSAGES = "berth_outbox_messages", Gauge, None,
        "Accepted work that waits to be relayed to the queue.";
    OUTBOX_OLDEST_SECONDS = "berth_outbox_oldest_seconds", Gauge, Some(Unit::Seconds),
        "Age of the oldest accepted work that waits to be relayed.";
    JOBS_TOTAL = "berth_jobs_total", Counter, None,
        "Queued work that was handled, by kind and outcome.";
}
