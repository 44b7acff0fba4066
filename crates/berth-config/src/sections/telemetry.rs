//! Logs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;

/// Logs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `pretty` for people, `json` for collectors: one object a line.
    pub log_format: LogFormat,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels for single parts after it, as in
    /// `info,berth_serving=debug`. Inputs and outputs of models are never logged, at no level.
    pub log_level: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Pretty,
            log_level: "info".to_owned(),
        }
    }
}

impl Section for Telemetry {
    fn settle(&mut self, check: &mut Check<'_>) {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        let directive = |text: &str| {
            let level = text.rsplit_once('=').map_or(text, |(_, level)| level);
            levels.contains(&level.trim().to_ascii_lowercase().as_str())
        };
        if !self.log_level.split(',').all(directive) {
            check.problem("log_level", "must be a level (error, warn, info, debug, trace), or such a list as `info,berth_serving=debug`");
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}
