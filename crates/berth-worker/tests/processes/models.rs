//! Models that the tests load.

use std::path::{Path, PathBuf};

use berth_domain::digest::Sha256;
use berth_domain::manifest::{Batching, Manifest, Pooling, Task, TextEmbedding};
use berth_domain::model::ModelFile;
use berth_domain::tensor::{Datatype, Dimension, TensorSpec};

use crate::graph;

/// A model on disk and its manifest.
pub(crate) struct Model {
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    _temporary: Option<tempfile::TempDir>,
}

impl Model {
    /// The files of the model, as a version lists them.
    pub(crate) fn files(&self) -> Vec<ModelFile> {
        let entries = std::fs::read_dir(&self.folder).expect("the folder is there");
        let file = |path: &Path| {
            let bytes = std::fs::read(path).expect("a file");
            ModelFile {
                path: path.file_name().expect("a name").to_string_lossy().into_owned(),
                digest: Sha256::of(&bytes),
                size_bytes: bytes.len() as u64,
            }
        };
        entries
            .map(|entry| file(&entry.expect("an entry").path()))
            .collect()
    }
}

/// all-MiniLM-L6-v2, int8.
pub(crate) fn minilm() -> Model {
    let inputs = ["input_ids", "attention_mask", "token_type_ids"];
    let mut manifest = tensors(
        inputs
            .map(|name| spec(name, Datatype::Int64, vec![Dimension::OPEN; 2]))
            .to_vec(),
        vec![spec(
            "last_hidden_state",
            Datatype::Fp32,
            vec![Dimension::OPEN; 3],
        )],
    );
    manifest.task = Task::TextEmbedding;
    manifest.batching.padding_is_safe = true;
    manifest.text_embedding = Some(TextEmbedding {
        tokenizer: "tokenizer.json".to_owned(),
        output: "last_hidden_state".to_owned(),
        pooling: Pooling::Mean,
        normalize: true,
        max_tokens: 256,
        dimensions: 384,
    });
    Model {
        folder: berth_test_support::minilm_folder().expect("the model is there"),
        manifest,
        _temporary: None,
    }
}

/// A model that turns in a loop as often as it is told.
pub(crate) fn spinner() -> Model {
    written(
        &graph::spinner(),
        tensors(
            vec![
                spec("count", Datatype::Int64, vec![]),
                spec("start", Datatype::Fp32, vec![Dimension::Fixed(64)]),
            ],
            vec![spec("end", Datatype::Fp32, vec![Dimension::Fixed(64)])],
        ),
    )
}

/// A model that never comes to an end, whatever it is given.
pub(crate) fn endless() -> Model {
    use crate::graph::{BOOL, FLOAT, INT64, graph, graph_attribute, initializer, model, node, tensor};
    let body = graph(
        &[
            node("Identity", &["going"], &["go_on"]),
            node("Sin", &["value"], &["next"]),
        ],
        &[],
        &[
            tensor("turn", INT64, &[]),
            tensor("going", BOOL, &[]),
            tensor("value", FLOAT, &[]),
        ],
        &[tensor("go_on", BOOL, &[]), tensor("next", FLOAT, &[])],
    );
    let spin = node("Loop", &["forever", "yes", "start"], &["end"]);
    let bytes = model(&graph(
        &[spin.message(5, &graph_attribute("body", &body))],
        &[
            initializer("yes", BOOL, &[], &[1]),
            initializer("forever", INT64, &[], &i64::MAX.to_le_bytes()),
        ],
        &[tensor("start", FLOAT, &[])],
        &[tensor("end", FLOAT, &[])],
    ));
    written(
        &bytes,
        tensors(
            vec![spec("start", Datatype::Fp32, vec![])],
            vec![spec("end", Datatype::Fp32, vec![])],
        ),
    )
}

/// A model that makes as many numbers as it is told, and gives the largest.
pub(crate) fn greedy() -> Model {
    use crate::graph::{Extent, FLOAT, INT64, graph, model, node, tensor};
    let bytes = model(&graph(
        &[
            node("ConstantOfShape", &["count"], &["numbers"]),
            node("ReduceMax", &["numbers"], &["largest"]),
        ],
        &[],
        &[tensor("count", INT64, &[Extent::Fixed(1)])],
        &[tensor("largest", FLOAT, &[Extent::Fixed(1)])],
    ));
    written(
        &bytes,
        tensors(
            vec![spec("count", Datatype::Int64, vec![Dimension::Fixed(1)])],
            vec![spec("largest", Datatype::Fp32, vec![Dimension::Fixed(1)])],
        ),
    )
}

/// A file that is no graph.
pub(crate) fn broken() -> Model {
    written(b"this is not a graph", tensors(Vec::new(), Vec::new()))
}

fn written(bytes: &[u8], manifest: Manifest) -> Model {
    let temporary = tempfile::tempdir().expect("a folder");
    std::fs::write(temporary.path().join("model.onnx"), bytes).expect("written");
    Model {
        folder: temporary.path().to_owned(),
        manifest,
        _temporary: Some(temporary),
    }
}

fn tensors(inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Manifest {
    Manifest {
        task: Task::Tensors,
        graph: "model.onnx".to_owned(),
        inputs,
        outputs,
        text_embedding: None,
        batching: Batching::default(),
        license: None,
        guessed: Vec::new(),
    }
}

fn spec(name: &str, datatype: Datatype, shape: Vec<Dimension>) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype,
        shape,
    }
}
