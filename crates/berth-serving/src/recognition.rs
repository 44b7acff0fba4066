//! What an uploaded folder is: which graph is the model, what it is for, and how its files are used.
//!
//! Three shapes are recognized: a graph alone; a folder as people publish them for Hugging Face and
//! sentence-transformers; a Triton model repository. What the folder does not say is guessed, and the manifest names what
//! was guessed; a `berth.yaml` in the folder states what else would be guessed.

mod folder;
mod graph;
mod hugging_face;
mod statement;
mod text_embedding;
mod triton;

use std::io;

use berth_domain::manifest::{Batching, Manifest, Task};
use berth_onnx::{GraphSummary, Limits};

pub use self::folder::Folder;
use self::statement::Statement;
use crate::gate::Refusal;

/// What a folder was recognized as.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognized {
    /// What the model is.
    pub manifest: Manifest,
    /// What was read in its graph.
    pub graph: GraphSummary,
    /// What is odd about it, in words.
    pub warnings: Vec<String>,
}

/// Why a folder is not recognized.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no model that can be served; whoever uploads can do something about it.
    #[error("the upload was refused")]
    Refused(#[from] Refusal),
    /// A file could not be read; this says nothing about the folder.
    #[error("{path} could not be read")]
    Io {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Recognizes what `folder` is.
///
/// Fails with a refusal when no graph or more than one could be meant, when the graph may not be handed to the runtime,
/// and when what the folder states is wrong.
pub fn recognize(folder: &Folder<'_>, limits: &Limits) -> Result<Recognized, Error> {
    let statement = Statement::read(folder)?;
    let path = graph::find(folder, statement.graph.as_deref())?;
    triton::check(folder, &path)?;
    let graph = graph::inspect(folder, &path, limits)?;
    let mut warnings = graph::warnings(&graph);

    let guess = text_embedding::guess(folder, &graph)?;
    let (task, task_guessed) = match statement.task {
        Some(task) => (task, false),
        None => match &guess {
            text_embedding::Guess::Fits(_) => (Task::TextEmbedding, true),
            text_embedding::Guess::Unfit(why) => {
                warnings.extend(why.clone());
                (Task::Tensors, false)
            }
        },
    };
    let mut guessed = Vec::new();
    if task_guessed {
        guessed.push("task".to_owned());
    }
    let text_embedding = match task {
        Task::Tensors => None,
        Task::TextEmbedding => {
            let fields = text_embedding::settle(folder, &graph, &statement, guess, &mut guessed)?;
            Some(fields)
        }
    };
    let batching = batching(&statement, &graph, task, &mut guessed);
    let (inputs, outputs) = statement.ports(&graph)?;
    let license = match &statement.license {
        Some(license) => Some(license.clone()),
        None => hugging_face::license(folder)?,
    };
    Ok(Recognized {
        manifest: Manifest {
            task,
            graph: path,
            inputs,
            outputs,
            text_embedding,
            batching,
            license,
            guessed,
        },
        graph,
        warnings,
    })
}

fn batching(statement: &Statement, graph: &GraphSummary, task: Task, guessed: &mut Vec<String>) -> Batching {
    let has_mask = graph.inputs.iter().any(|input| input.name == "attention_mask");
    let padding_is_safe = statement.batching.padding_is_safe.unwrap_or_else(|| {
        let safe = task == Task::TextEmbedding && has_mask;
        if safe {
            guessed.push("batching.padding_is_safe".to_owned());
        }
        safe
    });
    Batching {
        padding_is_safe,
        rows_depend_on_neighbors: statement
            .batching
            .rows_depend_on_neighbors
            .unwrap_or(graph.rows_depend_on_neighbors),
    }
}
