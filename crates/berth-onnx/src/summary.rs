//! What a graph turned out to be.

use std::collections::BTreeMap;

use berth_domain::tensor::TensorSpec;
use serde::{Deserialize, Serialize};

/// What [`crate::inspect()`] tells of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphSummary {
    /// Path of the graph in its folder.
    pub path: String,
    /// Version of the ONNX format.
    pub ir_version: i64,
    /// Version of each operator set that the model names, by domain; the standard one is called `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Inputs that a caller gives: those without a default among the weights.
    pub inputs: Vec<TensorSpec>,
    /// Outputs that are tensors.
    pub outputs: Vec<TensorSpec>,
    /// Outputs that are no tensors of a type that has a name on the wire (sequences, maps, …): they cannot be asked for.
    pub other_outputs: Vec<String>,
    /// Outputs whose shape the graph does not state; [`GraphSummary::outputs`] shows them with one open dimension.
    pub unshaped_outputs: Vec<String>,
    /// How often each operator occurs, nested graphs and functions included: `Add`, `com.microsoft.Gelu`.
    pub operators: BTreeMap<String, u64>,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// How many tensors have their values in files of their own.
    #[serde(default)]
    pub external_tensors: u64,
    /// Files with weights, as paths in the folder.
    pub external_files: Vec<String>,
    /// What wrote the model, as it says.
    pub producer: String,
    /// Whether one row's result may depend on the other rows of its batch. Errs on the side of yes.
    pub rows_depend_on_neighbors: bool,
    /// The operators for which that is so.
    pub mixing_operators: Vec<String>,
    /// The model's own metadata.
    pub metadata: BTreeMap<String, String>,
}
