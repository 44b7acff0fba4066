//! `berth.yaml`: what whoever made the folder states about it.

use berth_domain::manifest::{Pooling, Task};
use berth_domain::tensor::{Dimension, TensorSpec};
use berth_onnx::GraphSummary;
use serde::Deserialize;

use super::{Error, Folder};
use crate::gate::Refusal;

/// Where the statement stands.
pub(super) const FILE: &str = "berth.yaml";

/// Longest text of a statement.
const TEXT_CHARACTERS: usize = 200;

/// What is stated. Everything may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Statement {
    /// What the model does.
    pub(super) task: Option<Task>,
    /// Path of the main graph.
    pub(super) graph: Option<String>,
    /// Inputs whose shape is stated more exactly than the graph does.
    inputs: Vec<TensorSpec>,
    /// Outputs, likewise.
    outputs: Vec<TensorSpec>,
    /// How texts become vectors.
    pub(super) text_embedding: Option<TextEmbedding>,
    /// How requests may be joined.
    pub(super) batching: Batching,
    /// The licence.
    pub(super) license: Option<String>,
}

/// What is stated of how texts become vectors.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TextEmbedding {
    pub(super) tokenizer: Option<String>,
    pub(super) output: Option<String>,
    pub(super) pooling: Option<Pooling>,
    pub(super) normalize: Option<bool>,
    pub(super) max_tokens: Option<u32>,
    pub(super) dimensions: Option<u32>,
}

/// What is stated of how requests may be joined.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Batching {
    pub(super) padding_is_safe: Option<bool>,
    pub(super) rows_depend_on_neighbors: Option<bool>,
}

/// A refusal because of the statement.
pub(super) fn invalid(what: impl AsRef<str>) -> Error {
    Refusal::of_file("manifest_invalid", FILE, format!("{FILE}: {}", what.as_ref())).into()
}

impl Statement {
    /// Reads the statement of `folder`; an empty one when there is none.
    pub(super) fn read(folder: &Folder<'_>) -> Result<Self, Error> {
        if let Some(other) = ["berth.yml", "berth.json"]
            .into_iter()
            .find(|name| folder.has(name))
        {
            let what = format!("the folder has `{other}`: call it `{FILE}`");
            return Err(Refusal::of_file("manifest_invalid", other, what).into());
        }
        let Some(text) = folder.text(FILE)? else {
            return Ok(Self::default());
        };
        // An empty document is `null`, which is no mapping.
        let statement: Option<Self> =
            serde_yaml_ng::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let mut statement = statement.unwrap_or_default();
        match (statement.task, &statement.text_embedding) {
            (Some(Task::Tensors), Some(_)) => {
                return Err(invalid("`text_embedding` does not go with `task: tensors`"));
            }
            (None, Some(_)) => statement.task = Some(Task::TextEmbedding),
            _ => {}
        }
        if statement
            .license
            .as_ref()
            .is_some_and(|license| license.is_empty() || license.chars().count() > TEXT_CHARACTERS)
        {
            return Err(invalid(format!(
                "`license` has 1 to {TEXT_CHARACTERS} characters"
            )));
        }
        Ok(statement)
    }

    /// Inputs and outputs of the graph, with the stated shapes.
    pub(super) fn ports(&self, graph: &GraphSummary) -> Result<(Vec<TensorSpec>, Vec<TensorSpec>), Error> {
        Ok((
            refine("inputs", &graph.inputs, &self.inputs, &[])?,
            refine("outputs", &graph.outputs, &self.outputs, &graph.unshaped_outputs)?,
        ))
    }
}

/// The graph's tensors, with the shapes that `stated` gives. They must agree with what the graph says.
fn refine(
    field: &str,
    tensors: &[TensorSpec],
    stated: &[TensorSpec],
    unshaped: &[String],
) -> Result<Vec<TensorSpec>, Error> {
    let mut refined = tensors.to_vec();
    for (place, spec) in stated.iter().enumerate() {
        let name = &spec.name;
        if stated[..place].iter().any(|earlier| earlier.name == *name) {
            return Err(invalid(format!("`{field}` has `{name}` twice")));
        }
        let Some(tensor) = refined.iter_mut().find(|tensor| tensor.name == *name) else {
            return Err(invalid(format!(
                "`{field}` has `{name}`, which the graph has not"
            )));
        };
        if tensor.datatype != spec.datatype {
            return Err(invalid(format!(
                "`{field}`: `{name}` is {} in the graph, not {}",
                tensor.datatype.as_str(),
                spec.datatype.as_str()
            )));
        }
        let agrees = unshaped.contains(name)
            || (tensor.shape.len() == spec.shape.len()
                && tensor.shape.iter().zip(&spec.shape).all(|(graph, stated)| {
                    graph
                        .extent()
                        .is_none_or(|extent| stated.extent() == Some(extent))
                }));
        let plain = spec.shape.iter().all(|dimension| match dimension {
            Dimension::Fixed(extent) => *extent >= -1,
            Dimension::Symbolic(name) => !name.is_empty() && name.chars().count() <= TEXT_CHARACTERS,
        });
        if !agrees || !plain || spec.shape.len() > 32 {
            return Err(invalid(format!(
                "`{field}`: the shape of `{name}` is not what the graph says"
            )));
        }
        tensor.shape.clone_from(&spec.shape);
    }
    Ok(refined)
}
