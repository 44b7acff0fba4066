//! Tensors in, tensors out on a fake that adds one.

use berth_domain::tensor::Datatype;
use berth_inference::tensor::Elements;
use berth_inference::{Error, Tensor};
use berth_protocol::runner::{FailureKind, InferResponse, Operation};
use berth_runtime::Runtime;

use crate::support::{failure, json, load, request, spec, tensors};

fn adder() -> Runtime {
    let manifest = tensors(
        vec![spec("x", Datatype::Fp32, 2)],
        vec![spec("y", Datatype::Fp32, 2), spec("log", Datatype::Fp32, 2)],
    );
    let runtime = load(&manifest, |inputs, _| {
        let Elements::Fp32(values) = inputs[0].1.elements() else {
            unreachable!("the input is declared as FP32");
        };
        let shape = inputs[0].1.shape().to_vec();
        let plus: Vec<f32> = values.iter().map(|value| value + 1.0).collect();
        let log: Vec<f32> = values.iter().map(|value| value.ln()).collect();
        Ok(vec![
            Tensor::new(shape.clone(), plus).expect("fits"),
            Tensor::new(shape, log).expect("fits"),
        ])
    });
    runtime.expect("it loads")
}

async fn infer(runtime: &Runtime, rest: &str, shape: &str, data: &str) -> InferResponse {
    let body =
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape},"data":{data}}}]{rest}}}"#);
    runtime.infer(request(Operation::OipInfer, &body)).await
}

#[tokio::test]
async fn answer_has_names_id_outputs_and_counts() {
    let response = infer(&adder(), r#","id":"r-1""#, "[3,1]", "[[1],[2],[3]]").await;
    let answer = json(&response);
    assert_eq!(answer["model_name"], "the-model");
    assert_eq!(answer["model_version"], "7");
    assert_eq!(answer["id"], "r-1");
    assert_eq!(answer["outputs"][0]["name"], "y");
    assert_eq!(answer["outputs"][0]["shape"], serde_json::json!([3, 1]));
    assert_eq!(answer["outputs"][0]["data"], serde_json::json!([2.0, 3.0, 4.0]));
    assert_eq!(answer["outputs"][1]["name"], "log");
    assert_eq!(response.units.expect("counted").rows, 3);
}

#[tokio::test]
async fn only_the_named_outputs_come_in_the_order_of_their_names() {
    let outputs = r#","outputs":[{"name":"log"},{"name":"y"}]"#;
    let answer = json(&infer(&adder(), outputs, "[1,1]", "[1]").await);
    assert_eq!(answer["outputs"][0]["name"], "log");
    assert_eq!(answer["outputs"][1]["name"], "y");
    assert!(answer.get("id").is_none());
}

#[tokio::test]
async fn result_that_json_cannot_hold_is_refused_and_others_can_be_had() {
    let response = infer(&adder(), "", "[1,1]", "[0]").await;
    assert_eq!(failure(&response), ("output_not_representable", "outputs"));
    let answer = json(&infer(&adder(), r#","outputs":[{"name":"y"}]"#, "[1,1]", "[0]").await);
    assert_eq!(answer["outputs"][0]["data"], serde_json::json!([1.0]));
}

#[tokio::test]
async fn large_tensor_takes_the_same_way() {
    let data = format!("[{}]", vec!["1.5"; 20_000].join(","));
    let answer = json(&infer(&adder(), r#","outputs":[{"name":"y"}]"#, "[100,200]", &data).await);
    let values = answer["outputs"][0]["data"].as_array().expect("a list");
    assert_eq!(values.len(), 20_000);
    assert!(values.iter().all(|value| value == 2.5));
}

#[tokio::test]
async fn models_refusal_and_failure_are_told_apart() {
    for (error, code, kind) in [
        (
            Error::invalid_input as fn(&'static str) -> Error,
            "input_rejected",
            FailureKind::InvalidInput,
        ),
        (Error::failed, "model_failed", FailureKind::Model),
    ] {
        let manifest = tensors(
            vec![spec("x", Datatype::Fp32, 2)],
            vec![spec("y", Datatype::Fp32, 2)],
        );
        let runtime = load(&manifest, move |_, _| Err(error("no"))).expect("it loads");
        let response = infer(&runtime, "", "[1,1]", "[1]").await;
        assert_eq!(failure(&response), (code, ""));
        assert_eq!(response.failure.expect("a failure").kind(), kind);
    }
}

#[tokio::test]
async fn bad_body_is_the_callers_fault() {
    let runtime = adder();
    assert_eq!(
        failure(&infer(&runtime, "", "[1,1]", "[NaN]").await),
        ("invalid_json", "")
    );
    assert_eq!(
        failure(&infer(&runtime, "", "[1]", "[1]").await),
        ("shape_mismatch", "inputs[0].shape")
    );
    let long = format!("[{}]", vec!["1"; 20_000].join(","));
    assert_eq!(
        failure(&infer(&runtime, "", "[1,1]", &long).await),
        ("data_mismatch", "inputs[0].data")
    );
}
