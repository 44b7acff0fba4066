//! Fake models and short ways to call them.

use std::sync::Arc;

use berth_domain::clock::{ManualClock, Timestamp};
use berth_domain::manifest::{Batching, Manifest, Pooling, Task, TextEmbedding};
use berth_domain::tensor::{Datatype, Dimension, TensorSpec};
use berth_inference::fake::Fake;
use berth_inference::{Error, Interrupt, Tensor};
use berth_protocol::runner::{InferRequest, InferResponse, Operation};
use berth_runtime::{LoadError, Options, Runtime};

/// A tokenizer of whole words: `[PAD]` 0, `[CLS]` 1, `[SEP]` 2, `[UNK]` 3, a to d 4 to 7. It adds `[CLS]` and `[SEP]`, and
/// asks for padding and truncation that must not be obeyed.
const TOKENIZER: &str = r#"{
  "version": "1.0",
  "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
  "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
    "pad_token": "[PAD]"},
  "added_tokens": [],
  "normalizer": null,
  "pre_tokenizer": {"type": "WhitespaceSplit"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
      {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
      "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
  "decoder": null,
  "model": {"type": "WordLevel", "unk_token": "[UNK]",
    "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "a": 4, "b": 5, "c": 6, "d": 7}}
}"#;

/// A spec with open extents.
pub(crate) fn spec(name: &str, datatype: Datatype, rank: usize) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: vec![Dimension::OPEN; rank],
    }
}

/// The manifest of a fake that embeds texts into vectors of two numbers.
pub(crate) fn embedding(pooling: Pooling, padding_is_safe: bool) -> Manifest {
    let rank = if pooling == Pooling::None { 2 } else { 3 };
    Manifest {
        task: Task::TextEmbedding,
        text_embedding: Some(TextEmbedding {
            tokenizer: "tokenizer.json".to_owned(),
            output: "states".to_owned(),
            pooling,
            normalize: false,
            max_tokens: 5,
            dimensions: 2,
        }),
        batching: Batching {
            padding_is_safe,
            rows_depend_on_neighbors: false,
        },
        ..tensors(
            vec![
                spec("input_ids", Datatype::Int64, 2),
                spec("attention_mask", Datatype::Int64, 2),
            ],
            vec![spec("states", Datatype::Fp32, rank)],
        )
    }
}

/// The manifest of a fake that takes tensors.
pub(crate) fn tensors(inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Manifest {
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

type Run = fn(&[(&str, &Tensor)], &Interrupt) -> Result<Vec<Tensor>, Error>;

/// Loads a fake model that does `run`.
pub(crate) fn load(
    manifest: &Manifest,
    run: impl Fn(&[(&str, &Tensor)], &Interrupt) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
) -> Result<Runtime, LoadError> {
    load_with(manifest, &Options::default(), run)
}

/// The same with other options.
pub(crate) fn load_with(
    manifest: &Manifest,
    options: &Options,
    run: impl Fn(&[(&str, &Tensor)], &Interrupt) -> Result<Vec<Tensor>, Error> + Send + Sync + 'static,
) -> Result<Runtime, LoadError> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("tokenizer.json"), TOKENIZER).expect("written");
    let fake = Fake::new(manifest.inputs.clone(), manifest.outputs.clone(), run);
    Runtime::load(&fake, folder.path(), manifest, options, Arc::new(clock()))
}

/// A fake that is never run.
pub(crate) const IDLE: Run = |_, _| Err(Error::failed("it is not to be run"));

/// Stands at 1000 s after 1970.
pub(crate) fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_timestamp(1000, 0).expect("a moment"))
}

/// A request with this body.
pub(crate) fn request(operation: Operation, body: &str) -> InferRequest {
    InferRequest {
        model: "the-model".to_owned(),
        version: "7".to_owned(),
        operation: operation.into(),
        body: body.as_bytes().to_vec().into(),
        ..InferRequest::default()
    }
}

/// The JSON of an answer that is no failure.
pub(crate) fn json(response: &InferResponse) -> serde_json::Value {
    assert_eq!(response.failure, None);
    assert_eq!(response.content_type, "application/json");
    serde_json::from_slice(&response.body).expect("the body is JSON")
}

/// Code and field of a failure.
pub(crate) fn failure(response: &InferResponse) -> (&str, &str) {
    let failure = response.failure.as_ref().expect("a failure");
    assert!(response.body.is_empty());
    assert!(!failure.message.is_empty());
    (&failure.code, &failure.param)
}
