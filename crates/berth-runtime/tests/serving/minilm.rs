//! The published answers of all-MiniLM-L6-v2 (int8), through the real runtime.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use berth_domain::manifest::{Batching, Manifest, Pooling, Task, TextEmbedding};
use berth_domain::tensor::Datatype;
use berth_inference::onnx_runtime::OnnxRuntime;
use berth_protocol::runner::Operation;
use berth_runtime::{Options, Runtime};

use crate::support::{clock, failure, json, request, spec, tensors};

const GUITAR: &str = "A man is playing a guitar.";
const INSTRUMENT: &str = "Someone plays an instrument.";
const STOCKS: &str = "The stock market fell sharply today.";
const IDS: &str = "[101,1037,2158,2003,2652,1037,2858,1012,102]";

pub(crate) fn path_of(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .expect("run `cargo xtask test`: it fetches the library and the model, and says where they are")
        .into()
}

fn manifest() -> Manifest {
    Manifest {
        task: Task::TextEmbedding,
        text_embedding: Some(TextEmbedding {
            tokenizer: "tokenizer.json".to_owned(),
            output: "last_hidden_state".to_owned(),
            pooling: Pooling::Mean,
            normalize: true,
            max_tokens: 256,
            dimensions: 384,
        }),
        batching: Batching {
            padding_is_safe: true,
            rows_depend_on_neighbors: false,
        },
        ..tensors(
            ["input_ids", "attention_mask", "token_type_ids"]
                .map(|name| spec(name, Datatype::Int64, 2))
                .to_vec(),
            vec![spec("last_hidden_state", Datatype::Fp32, 3)],
        )
    }
}

pub(crate) fn load(folder: &Path, options: &Options) -> Runtime {
    let backend = OnnxRuntime::open(&path_of("BERTH_TEST_ONNXRUNTIME")).expect("the library opens");
    let runtime = Runtime::load(&backend, folder, &manifest(), options, Arc::new(clock()));
    runtime.expect("it loads")
}

fn minilm() -> Runtime {
    load(&path_of("BERTH_TEST_MINILM"), &Options::default())
}

async fn answer(runtime: &Runtime, input: &serde_json::Value, format: &str) -> serde_json::Value {
    let body = serde_json::json!({"model": "m", "input": input, "encoding_format": format}).to_string();
    json(&runtime.infer(request(Operation::Embeddings, &body)).await)
}

fn vector(item: &serde_json::Value) -> Vec<f32> {
    match &item["embedding"] {
        serde_json::Value::String(text) => {
            let bytes = base64::prelude::BASE64_STANDARD.decode(text).expect("base64");
            let (chunks, rest) = bytes.as_chunks::<4>();
            assert!(rest.is_empty());
            chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
        }
        numbers => serde_json::from_value(numbers.clone()).expect("numbers"),
    }
}

async fn embed(runtime: &Runtime, input: serde_json::Value) -> Vec<Vec<f32>> {
    let answer = answer(runtime, &input, "float").await;
    answer["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(vector)
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn known_vector_cosines_and_tokens_come_out() {
    let runtime = minilm();
    let answer = answer(
        &runtime,
        &serde_json::json!([GUITAR, INSTRUMENT, STOCKS]),
        "float",
    )
    .await;
    let vectors: Vec<_> = answer["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(vector)
        .collect();
    for (value, known) in vectors[0]
        .iter()
        .zip([0.01939, -0.00235, -0.00788, -0.06321, -0.16841])
    {
        assert!((value - known).abs() < 2e-4, "{:?}", &vectors[0][..5]);
    }
    assert_eq!(vectors[0].len(), 384);
    assert!((cosine(&vectors[0], &vectors[1]) - 0.6658).abs() < 1e-3);
    assert!((cosine(&vectors[0], &vectors[2]) - -0.0497).abs() < 1e-3);
    // Nine tokens in the first, known by their ids; all three with their special tokens.
    assert_eq!(answer["usage"]["prompt_tokens"], 9 + 7 + 9);
}

#[tokio::test]
async fn published_ids_base64_and_text_are_the_same_vector() {
    let runtime = minilm();
    let text = embed(&runtime, GUITAR.into()).await;
    let ids = embed(&runtime, serde_json::from_str(IDS).expect("a list")).await;
    assert_eq!(text, ids);
    let encoded = answer(&runtime, &GUITAR.into(), "base64").await;
    assert_eq!(vector(&encoded["data"][0]), text[0]);
}

#[tokio::test]
async fn rows_do_not_depend_on_their_neighbors() {
    let runtime = minilm();
    let together = embed(
        &runtime,
        serde_json::json!([
            GUITAR,
            "A longer text makes the others be padded. ".repeat(9),
            STOCKS
        ]),
    )
    .await;
    assert_eq!(together[0], embed(&runtime, GUITAR.into()).await[0]);
    assert_eq!(together[2], embed(&runtime, STOCKS.into()).await[0]);
}

#[tokio::test]
async fn text_of_256_tokens_is_read_and_a_longer_one_refused_whatever_the_tokenizer_says_itself() {
    let runtime = minilm();
    let longest = answer(&runtime, &"guitar ".repeat(254).into(), "base64").await;
    assert_eq!(longest["usage"]["prompt_tokens"], 256);
    let body = serde_json::json!({"model": "m", "input": ["guitar", "guitar ".repeat(255)]}).to_string();
    let refused = runtime.infer(request(Operation::Embeddings, &body)).await;
    assert_eq!(failure(&refused), ("context_length_exceeded", "input[1]"));
}

#[tokio::test]
async fn tensors_that_the_model_cannot_work_on_are_the_callers_fault() {
    let runtime = minilm();
    let body = |length: usize, segment: i64| {
        let tensor = |name: &str, value: i64| serde_json::json!({"name": name, "datatype": "INT64", "shape": [1, length], "data": vec![value; length]});
        serde_json::json!({"inputs": [tensor("input_ids", 7), tensor("attention_mask", 1), tensor("token_type_ids", segment)]})
            .to_string()
    };
    // A segment that it does not know, more positions than it knows, and none at all.
    for bad in [body(2, 9), body(600, 0), body(0, 0)] {
        let refused = runtime.infer(request(Operation::OipInfer, &bad)).await;
        assert_eq!(failure(&refused), ("input_rejected", ""));
    }
    let served = json(&runtime.infer(request(Operation::OipInfer, &body(2, 0))).await);
    assert_eq!(served["outputs"][0]["shape"], serde_json::json!([1, 2, 384]));
}

#[tokio::test]
async fn proof_succeeds_without_warnings() {
    let proof = minilm().prove().await;
    assert_eq!((proof.failed, proof.warnings), (None, Vec::new()));
}
