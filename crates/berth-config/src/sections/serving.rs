//! How requests find their model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Span;
use crate::check::Check;
use crate::sections::Section;

/// How requests find their model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Serving {
    /// How often the table of replicas is read again although no change was announced. Short times find a lost
    /// announcement sooner and cost Redis one read each.
    pub route_refresh: Span,
    /// How long connecting to a runner may take.
    pub connect_timeout: Span,
    /// Connections kept to each runner. One carries many requests at once; a second one helps with large bodies.
    pub connections_per_runner: u16,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            route_refresh: Span::milliseconds(250),
            connect_timeout: Span::seconds(1),
            connections_per_runner: 1,
        }
    }
}

impl Section for Serving {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !check.process.serves_http() {
            return;
        }
        check.some_time("route_refresh", self.route_refresh);
        check.some_time("connect_timeout", self.connect_timeout);
        check.at_least_one("connections_per_runner", self.connections_per_runner);
    }
}
