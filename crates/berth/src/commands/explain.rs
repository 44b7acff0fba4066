//! `berth explain`: the whole way of one request.

use std::fmt::Display;

use berth_domain::trail::{Trail, Way};
use clap::Args;

use super::caller::Caller;
use crate::client::requests;
use crate::output::{self, Table};

/// Show the whole way of one inference request: which runners were asked, how long each stage took, what came of it
///
/// Nodes remember their latest requests, some thousands each.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The id of the request, from its answer's header `x-request-id`.
    request_id: String,
    #[command(flatten)]
    caller: Caller,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let at = arguments.caller.in_project().await?;
    let reply = requests::show(&at, &arguments.request_id).await?;
    output::show(arguments.caller.output, &reply.json, || table(&reply.body))?;
    Ok(())
}

fn table(trail: &Trail) -> Table {
    let mut table = Table::new(&["stage", "ms", ""]);
    let mut row = |stage: &str, us: u64, remark: &dyn Display| {
        // Whole microseconds, shown as milliseconds.
        let milliseconds = format!("{}.{:03}", us / 1000, us % 1000);
        table.push(&[&stage, &milliseconds, remark]);
    };
    row("admitted", trail.admit_us, &format_args!("by {}", trail.node));
    let version = trail.version.map(|version| format!(", version {version}"));
    let version = version.unwrap_or_default();
    row(
        "resolved",
        trail.resolve_us,
        &format_args!("{}{version}", trail.model),
    );
    for attempt in &trail.attempts {
        let way = match attempt.way {
            Way::Socket => "by its socket",
            Way::Worker => "through its worker",
        };
        let (worker, replica) = (attempt.worker_id, attempt.replica_id);
        let remark = format!("replica {replica} of worker {worker}, {way}");
        row(&attempt.outcome, attempt.took_us, &remark);
    }
    if let Some(runner) = &trail.runner {
        row("  read", runner.prepare_us, &"");
        row("  queued", runner.queue_us, &"");
        row("  waited for others", runner.batch_wait_us, &"");
        let (requests, weight) = (runner.batch_requests, runner.batch_weight);
        let remark = match requests {
            1 => format!("in a run of its own, weight {weight}"),
            _ => format!("in a run of {requests} requests, weight {weight}"),
        };
        row("  computed", runner.compute_us, &remark);
        row("  written", runner.post_us, &"");
    }
    row("all", trail.total_us, &trail.outcome);
    table
}
