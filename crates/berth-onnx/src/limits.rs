//! How much of everything a graph may have.

use serde::{Deserialize, Serialize};

/// Bounds on a graph. They keep the memory of [`crate::inspect()`] small whatever the file holds, and are far above what
/// real models have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of the file with the graph (weights in files of their own do not count). No protobuf parser reads more
    /// than 2 GiB.
    pub graph_bytes: u64,
    /// Nodes, those of nested graphs and functions included.
    pub nodes: u64,
    /// Initializers, those of nested graphs included.
    pub initializers: u64,
    /// Inputs and outputs of the main graph, each.
    pub ports: usize,
    /// Model-local functions.
    pub functions: usize,
    /// Inputs, outputs and attributes of one node, each.
    pub node_parts: usize,
    /// Bytes of one name.
    pub name_bytes: usize,
    /// Bytes of all text that the summary keeps: names of inputs and outputs, metadata.
    pub text_bytes: usize,
    /// Dimensions of one tensor.
    pub rank: usize,
    /// Graphs inside graphs.
    pub depth: u32,
    /// Files with weights.
    pub external_files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            graph_bytes: (1 << 31) - 1,
            nodes: 200_000,
            initializers: 200_000,
            ports: 1024,
            functions: 4096,
            node_parts: 4096,
            name_bytes: 2048,
            text_bytes: 2 << 20,
            rank: 32,
            depth: 16,
            external_files: 4096,
        }
    }
}
