//! Requests that share runs through the real runtime: what each gets is what it gets alone.

use std::path::Path;
use std::sync::Arc;

use berth_domain::manifest::{Batching, Manifest};
use berth_domain::tensor::{Datatype, Dimension, TensorSpec};
use berth_inference::onnx_runtime::OnnxRuntime;
use berth_protocol::runner::{InferRequest, InferResponse, Operation};
use berth_runtime::{Options, Runtime};
use berth_test_support::onnx_models::{self as onnx, element};
use tokio::task::JoinSet;

use crate::minilm::{self, path_of};
use crate::support::{clock, json, request, tensors};

/// Asks all of this at once, each by another project; the answers in the same order.
async fn all_at_once(runtime: &Runtime, requests: &[InferRequest]) -> Vec<InferResponse> {
    let mut running = JoinSet::new();
    for (index, request) in requests.iter().enumerate() {
        let (runtime, mut request) = (runtime.clone(), request.clone());
        request.project = format!("project-{}", index % 3);
        running.spawn(async move { (index, runtime.infer(request).await) });
    }
    let mut answers = running.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn one_by_one(runtime: &Runtime, requests: &[InferRequest]) -> Vec<InferResponse> {
    let mut answers = Vec::new();
    for request in requests {
        answers.push(runtime.infer(request.clone()).await);
    }
    answers
}

fn bodies(answers: &[InferResponse]) -> Vec<serde_json::Value> {
    answers.iter().map(json).collect()
}

#[tokio::test]
async fn minilm_gives_the_same_bits_alone_and_in_company() {
    const WORDS: [&str; 7] = ["guitar", "market", "river", "a", "of", "playing", "unbelievable"];
    let requests: Vec<InferRequest> = (0..40)
        .map(|index| {
            let words: Vec<&str> = (0..=index % 11).map(|word| WORDS[(index + word) % 7]).collect();
            let body = serde_json::json!({
                "model": "m", "input": words.join(" "), "encoding_format": "base64",
            });
            request(Operation::Embeddings, &body.to_string())
        })
        .collect();
    for threads in [1, 2] {
        let mut options = Options::default();
        options.inference.threads = threads;
        let runtime = minilm::load(&path_of("BERTH_TEST_MINILM"), &options);
        let alone = one_by_one(&runtime, &requests).await;
        assert!(alone.iter().all(|answer| answer.batch_requests == 1));
        let together = all_at_once(&runtime, &requests).await;
        assert!(
            together.iter().filter(|answer| answer.batch_requests > 1).count() > 20,
            "they shared runs"
        );
        assert_eq!(bodies(&alone), bodies(&together), "{threads} threads");
    }
}

fn rows(name: &str, width: i64) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype: Datatype::Fp32,
        shape: vec![Dimension::Symbolic("rows".to_owned()), Dimension::Fixed(width)],
    }
}

fn manifest(rows_depend_on_neighbors: bool) -> Manifest {
    Manifest {
        batching: Batching {
            padding_is_safe: false,
            rows_depend_on_neighbors,
        },
        ..tensors(vec![rows("x", 4)], vec![rows("y", 2)])
    }
}

/// `y = x · w` with nodes that say how.
fn write_model(folder: &Path, nodes: &[onnx::Message]) {
    let graph = onnx::graph(
        nodes,
        &[onnx::floats(
            "w",
            &[4, 2],
            &[0.5, -1.0, 0.25, 2.0, -0.75, 0.1, 1.5, 0.3],
        )],
        &[onnx::port("x", element::FLOAT, &["rows", "4"])],
        &[onnx::port("y", element::FLOAT, &["rows", "2"])],
    );
    std::fs::write(folder.join("model.onnx"), onnx::model(&graph).into_bytes()).expect("written");
}

fn load(folder: &Path, manifest: &Manifest) -> Runtime {
    let backend = OnnxRuntime::open(&path_of("BERTH_TEST_ONNXRUNTIME")).expect("the library opens");
    let runtime = Runtime::load(&backend, folder, manifest, &Options::default(), Arc::new(clock()));
    runtime.expect("it loads")
}

/// Requests of one row each, of very different sizes.
fn requests_of_rows() -> Vec<InferRequest> {
    (0..60)
        .map(|index| {
            let size = [0.01, 1.0, 100.0][index % 3];
            let data: Vec<f64> = (0..4u32).map(|place| size * f64::from(place + 1)).collect();
            let body = serde_json::json!({"inputs": [
                {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": data},
            ]});
            request(Operation::OipInfer, &body.to_string())
        })
        .collect()
}

#[tokio::test]
async fn rows_of_a_plain_model_share_runs_and_stay_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    write_model(folder.path(), &[onnx::node("MatMul", &["x", "w"], &["y"], &[])]);
    let runtime = load(folder.path(), &manifest(false));
    let requests = requests_of_rows();
    let alone = one_by_one(&runtime, &requests).await;
    let together = all_at_once(&runtime, &requests).await;
    assert_eq!(bodies(&alone), bodies(&together));
    assert!(together.iter().any(|answer| answer.batch_requests > 1));
    assert!(runtime.stats().waiting_requests == 0);
}

/// Both sides are quantized while it runs, with one scale each: the scale of `x` is taken over all rows.
fn dynamically_quantized() -> Vec<onnx::Message> {
    vec![
        onnx::node("DynamicQuantizeLinear", &["x"], &["xq", "xs", "xz"], &[]),
        onnx::node("DynamicQuantizeLinear", &["w"], &["wq", "ws", "wz"], &[]),
        onnx::node("MatMulInteger", &["xq", "wq", "xz", "wz"], &["m"], &[]),
        onnx::node(
            "Cast",
            &["m"],
            &["f"],
            &[onnx::integer_attribute("to", element::FLOAT)],
        ),
        onnx::node("Mul", &["f", "xs"], &["t"], &[]),
        onnx::node("Mul", &["t", "ws"], &["y"], &[]),
    ]
}

#[tokio::test]
async fn marked_model_is_never_given_the_rows_of_two_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    write_model(folder.path(), &dynamically_quantized());
    let runtime = load(folder.path(), &manifest(true));
    let requests = requests_of_rows();
    let alone = one_by_one(&runtime, &requests).await;
    let together = all_at_once(&runtime, &requests).await;
    assert!(together.iter().all(|answer| answer.batch_requests == 1));
    assert_eq!(bodies(&alone), bodies(&together));
    // Within one request its rows share a run, and they would differ: that is why it is marked.
    let body = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[2,4],"data":[0.01,0.02,0.03,0.04,100,200,300,400]}]}"#;
    let both = json(&runtime.infer(request(Operation::OipInfer, body)).await);
    assert_ne!(
        both["outputs"][0]["data"][0],
        json(&alone[0])["outputs"][0]["data"][0]
    );
}

#[tokio::test]
async fn model_that_is_plainly_wrong_about_its_rows_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    // Its owner says that rows are apart, and they are summed up.
    let nodes = [
        onnx::node("MatMul", &["x", "w"], &["m"], &[]),
        onnx::node("ReduceSum", &["m", "axis"], &["s"], &[]),
        onnx::node("Add", &["m", "s"], &["y"], &[]),
    ];
    let graph = onnx::graph(
        &nodes,
        &[
            onnx::floats("w", &[4, 2], &[1.0; 8]),
            onnx::integers("axis", &[1], &[0]),
        ],
        &[onnx::port("x", element::FLOAT, &["rows", "4"])],
        &[onnx::port("y", element::FLOAT, &["rows", "2"])],
    );
    std::fs::write(folder.path().join("model.onnx"), onnx::model(&graph).into_bytes()).expect("written");
    let runtime = load(folder.path(), &manifest(false));
    let requests = requests_of_rows();
    let alone = one_by_one(&runtime, &requests).await;
    assert_eq!(bodies(&alone), bodies(&all_at_once(&runtime, &requests).await));
}
