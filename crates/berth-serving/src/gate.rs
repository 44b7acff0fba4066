//! The gate: what comes in is judged here before anything keeps it.
//!
//! The work is done by a child process, `berth gate inspect`, which shuts itself into the sandbox and knows no secret: it
//! unpacks ([`berth_artifacts::archive`]), skims the graph ([`berth_onnx`]), recognizes the layout
//! ([`crate::recognition`]) and says what it found in one line of JSON. This module is the parent's side; [`child`] is
//! the other.

pub mod child;
mod parent;

use std::path::PathBuf;

use berth_artifacts::archive::UnpackLimits;
use berth_domain::digest::Sha256;
use berth_domain::manifest::Manifest;
use berth_domain::model::ModelFile;
use berth_onnx::GraphSummary;
use serde::{Deserialize, Serialize};

pub use parent::{Error, Gate, Options};

/// What a single graph is called in its folder, whatever it was called when it was sent: the same bytes are the same
/// version.
const GRAPH_NAME: &str = "model.onnx";

/// What the child is asked, as JSON on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The uploaded file.
    pub input: PathBuf,
    /// What the uploader calls it; nothing but words in messages depend on it.
    pub name: String,
    /// Its digest, which was computed as it came.
    pub digest: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// An empty folder, to unpack into.
    pub output: PathBuf,
    /// Bounds on everything.
    pub limits: Limits,
    /// Whether the child goes on where the kernel lacks a part of the sandbox.
    pub best_effort: bool,
}

/// Bounds on the child and on what it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Private memory of the child.
    pub memory_bytes: u64,
    /// Seconds of processor time of the child.
    pub cpu_seconds: u64,
    /// What may come out of an archive.
    pub unpack: UnpackLimits,
    /// What a graph may have.
    pub graph: berth_onnx::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            cpu_seconds: 300,
            unpack: UnpackLimits::default(),
            graph: berth_onnx::Limits::default(),
        }
    }
}

/// What the child found in an upload that it accepts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What the model is.
    pub manifest: Manifest,
    /// Its files.
    pub files: Vec<ModelFile>,
    /// What was read in its graphs.
    pub graphs: Vec<GraphSummary>,
    /// What is odd about it, in words.
    pub warnings: Vec<String>,
    /// Where the files lie in the output folder; absent when the upload is itself the only file.
    pub unpacked: Option<PathBuf>,
}

/// Why an upload is not accepted. Whoever uploads can do something about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Stable, one of [`REFUSAL_CODES`].
    pub code: String,
    /// In words.
    pub message: String,
    /// The file in the folder that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Refusal {
    /// A refusal of the whole.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            path: None,
        }
    }

    /// A refusal because of one file.
    pub fn of_file(code: &str, path: &str, message: impl Into<String>) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..Self::new(code, message)
        }
    }
}

/// What the child answers, as one line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is a model.
    Ok(Box<Report>),
    /// It is not, or not one that can be served.
    Refused(Refusal),
    /// The child could not do its work, which says nothing about the upload.
    Failed(String),
}

/// Every code of a [`Refusal`].
pub const REFUSAL_CODES: &[&str] = &[
    "archive_bomb",
    "archive_duplicate_path",
    "archive_empty",
    "archive_encrypted",
    "archive_file_too_large",
    "archive_link_refused",
    "archive_malformed",
    "archive_path_escapes",
    "archive_path_invalid",
    "archive_special_file_refused",
    "archive_too_large",
    "archive_too_many_files",
    "archive_truncated",
    "archive_unsupported",
    "gate_out_of_memory",
    "gate_too_slow",
    "manifest_invalid",
    "model_ambiguous_graph",
    "model_duplicate_name",
    "model_external_data_escapes",
    "model_external_data_missing",
    "model_external_data_out_of_range",
    "model_file_is_pointer",
    "model_ir_unsupported",
    "model_malformed",
    "model_nested_too_deep",
    "model_no_graph",
    "model_operator_unsupported",
    "model_opset_missing",
    "model_opset_unsupported",
    "model_platform_unsupported",
    "model_tensor_invalid",
    "model_too_large",
    "model_truncated",
    "model_type_unsupported",
    "model_without_outputs",
];
