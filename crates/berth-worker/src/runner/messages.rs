//! What node and runner say to each other besides requests: settings on the standard input, one event on the output.

use std::path::PathBuf;

use berth_domain::deployment::Batching;
use berth_domain::manifest::Manifest;
use berth_telemetry::logging;
use serde::{Deserialize, Serialize};

/// What a runner is to do. Both sides are the same program, so nothing here is versioned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The folder with the model's files.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    /// The ONNX Runtime library.
    pub(crate) library: PathBuf,
    /// What the model may run on, the preferred first.
    pub(crate) providers: Vec<String>,
    pub(crate) threads: usize,
    pub(crate) queue_requests: usize,
    /// How requests are joined to batches.
    pub(crate) batching: Batching,
    pub(crate) sandbox: SandboxMode,
    /// Most bytes of private memory.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) log_filter: String,
    pub(crate) log_as_json: bool,
}

impl Settings {
    /// How the runner logs: like its node.
    pub(crate) fn logging(&self) -> logging::Options {
        logging::Options {
            format: if self.log_as_json {
                logging::Format::Json
            } else {
                logging::Format::Pretty
            },
            filter: self.log_filter.clone(),
        }
    }
}

/// What happens where the kernel cannot shut a runner in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SandboxMode {
    /// It does not start.
    Required,
    /// It says what is missing.
    BestEffort,
}

/// The one line that a runner says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(crate) enum Event {
    /// It answers requests.
    Ready(Ready),
    /// It cannot, and ends.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

/// What a runner says of itself when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) library_version: String,
    /// The execution providers that the model really runs on.
    pub(crate) providers: Vec<String>,
    pub(crate) resident_bytes: u64,
    pub(crate) load_us: u64,
    /// What the kernel really enforces.
    pub(crate) sandbox: String,
}
