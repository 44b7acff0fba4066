//! What node and runner say to each other besides requests: lines of JSON. On the standard input come the settings and then
//! commands; on the output go events. Both sides are the same program, so nothing here is versioned.

use std::path::PathBuf;

use berth_domain::deployment::Batching;
use berth_domain::manifest::Manifest;
use berth_telemetry::logging;
use serde::{Deserialize, Serialize};

/// How a runner is set up; the first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The folder that it may read: that of its model, or of all models of the organization for which it is.
    pub(crate) folder: PathBuf,
    /// Whether it holds models as they come, and lives on when one cannot be loaded.
    pub(crate) shared: bool,
    /// The ONNX Runtime library.
    pub(crate) library: PathBuf,
    /// What models may run on, the preferred first.
    pub(crate) providers: Vec<String>,
    /// How many threads compute one request.
    pub(crate) threads: usize,
    /// How many models compute at once.
    pub(crate) runs: usize,
    pub(crate) queue_requests: usize,
    pub(crate) sandbox: SandboxMode,
    /// Most bytes of private memory, and up to which the node may raise that.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_most_bytes: Option<u64>,
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

/// What a runner is to do; a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub(crate) enum Command {
    /// Hold a model.
    Load(Box<Load>),
    /// Take no more requests for a model, finish those that it has for at most so long, and let it go.
    Unload {
        /// Which.
        slot: u64,
        /// See there.
        patience_ms: u64,
    },
}

/// A model that a runner is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// What the node calls it; not zero, and never used again in this runner.
    pub(crate) slot: u64,
    /// What requests call it.
    pub(crate) replica: String,
    /// The folder with its files.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    /// How requests are joined to batches.
    pub(crate) batching: Batching,
}

/// What a runner says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub(crate) enum Event {
    /// A model answers requests.
    Ready(Ready),
    /// A model cannot; or the runner cannot hold any, where none is named, and ends. A runner with a model of its own ends too.
    Failed {
        /// Which.
        slot: Option<u64>,
        /// Why, in words.
        reason: String,
    },
    /// A model is gone.
    Unloaded {
        /// Which.
        slot: u64,
    },
}

/// What a runner says of a model that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) slot: u64,
    pub(crate) library_version: String,
    /// The execution providers that the model really runs on.
    pub(crate) providers: Vec<String>,
    /// What the process holds; or by how much loading the model raised that, where it holds others.
    pub(crate) resident_bytes: u64,
    pub(crate) load_us: u64,
    /// What the kernel really enforces.
    pub(crate) sandbox: String,
}
