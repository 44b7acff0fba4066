//! Logs and traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;

/// Logs and traces.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `pretty` for people, `json` for collectors: one object a line.
    pub log_format: LogFormat,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels for single parts after it, as in
    /// `info,berth_serving=debug`. Inputs and outputs of models are never logged, at no level.
    pub log_level: String,
    /// Where traces go, by OTLP over HTTP with protobuf: the collector's whole address. Without it, nothing is traced. Inputs and
    /// outputs of models are never exported.
    #[schemars(example = "http://127.0.0.1:4318/v1/traces")]
    pub traces_url: Option<String>,
    /// Which part of the requests is traced, from 0 to 1, where the caller does not say by `traceparent` whether it traces.
    pub traces_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Pretty,
            log_level: "info".to_owned(),
            traces_url: None,
            traces_ratio: 0.01,
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
        if let Some(url) = &self.traces_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            check.problem(
                "traces_url",
                "must be a URL that begins with `http://` or `https://`",
            );
        }
        if !(0.0..=1.0).contains(&self.traces_ratio) {
            check.problem("traces_ratio", "must be from 0 to 1");
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
