//! The background work.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Span;
use crate::check::Check;
use crate::sections::Section;

/// The background work of `berth tasks`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tasks {
    /// How often accepted work is looked for. Short times start it sooner and cost Postgres one small query each.
    pub relay_interval: Span,
    /// How often placement is worked out again although nothing was announced.
    pub plan_interval: Span,
    /// How long the lease of the one process that plans lasts without being renewed. After a crash nobody plans for so
    /// long; a short lease is lost in a short pause.
    pub leader_lease: Span,
    /// How long a worker may take to prove a model: fetching, loading and running it.
    pub prove_timeout: Span,
    /// How long running work may take to end after SIGTERM; afterwards it is cut, and done again elsewhere.
    pub shutdown_timeout: Span,
    /// Address and port for `/healthz`, `/readyz` and `/metrics` of `berth tasks`, by plain HTTP; port 0 takes a free one.
    /// Without it nothing is listened on. Whoever reaches the address is answered: choose one that only monitoring reaches.
    #[schemars(with = "Option<String>", example = "127.0.0.1:9464")]
    pub listen: Option<SocketAddr>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            relay_interval: Span::milliseconds(200),
            plan_interval: Span::seconds(1),
            leader_lease: Span::seconds(5),
            prove_timeout: Span::minutes(10),
            shutdown_timeout: Span::seconds(30),
            listen: None,
        }
    }
}

impl Section for Tasks {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !check.process.does_tasks() {
            return;
        }
        for (field, span) in [
            ("relay_interval", self.relay_interval),
            ("plan_interval", self.plan_interval),
            ("leader_lease", self.leader_lease),
            ("prove_timeout", self.prove_timeout),
        ] {
            check.some_time(field, span);
        }
        if self.leader_lease <= self.plan_interval {
            check.problem(
                "leader_lease",
                "must be longer than `tasks.plan_interval`, which renews it",
            );
        }
    }
}
