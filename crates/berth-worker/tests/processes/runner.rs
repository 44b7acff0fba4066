//! One runner.

use std::time::Duration;

use berth_protocol::runner::Operation;
use serde_json::{Value, json};

use crate::models;
use crate::runners::{LIMIT, Runner, is_busy, is_idle, request, spin};

#[tokio::test]
async fn minilm_answers_with_the_known_vector_through_the_socket() {
    let mut runner = Runner::start(&models::minilm());
    let ready = runner.event();
    assert_eq!(ready["event"], "ready");
    assert_eq!(ready["providers"], json!(["cpu"]));
    assert!(
        ready["resident_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 20 << 20),
        "{ready}"
    );
    assert!(
        ready["sandbox"]
            .as_str()
            .is_some_and(|text| text.contains("seccomp")),
        "{ready}"
    );

    let client = runner.client();
    let body = r#"{"model":"m","input":"A man is playing a guitar."}"#;
    let response = client
        .infer(request(Operation::Embeddings, body))
        .await
        .expect("an answer");
    assert_eq!(response.failure, None);
    assert!(response.compute_us > 0);
    let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
    let vector: Vec<f64> = serde_json::from_value(answer["data"][0]["embedding"].clone()).expect("numbers");
    for (value, known) in vector
        .iter()
        .zip([0.01939, -0.00235, -0.00788, -0.06321, -0.16841])
    {
        assert!((value - known).abs() < 2e-4, "{:?}", &vector[..5]);
    }

    let described = client.describe().await.expect("an answer");
    assert_eq!(described.inputs.len(), 3);
    assert_eq!(described.outputs[0].dims, [-1, -1, 384]);
    assert_eq!(described.protocol, berth_protocol::PROTOCOL_VERSION);

    let proof = client.prove().await.expect("an answer");
    assert!(proof.ok && proof.warnings.is_empty(), "{proof:?}");
}

#[tokio::test]
async fn bad_request_is_answered_and_not_an_error_of_the_connection() {
    let runner = Runner::ready(&models::minilm());
    let client = runner.client();
    let response = client
        .infer(request(Operation::Embeddings, "{"))
        .await
        .expect("an answer");
    assert_eq!(response.failure.expect("a failure").code, "invalid_json");
}

#[tokio::test]
async fn what_a_model_refuses_is_told_to_its_caller_and_not_logged() {
    let runner = Runner::ready(&models::minilm());
    let tensor =
        |name: &str, value: i64| json!({"name": name, "datatype": "INT64", "shape": [1, 1], "data": [value]});
    let body = json!({"inputs": [
        tensor("input_ids", 7),
        tensor("attention_mask", 1),
        tensor("token_type_ids", 8_675_309),
    ]});
    let client = runner.client();
    let response = client
        .infer(request(Operation::OipInfer, &body.to_string()))
        .await;
    let failure = response.expect("an answer").failure.expect("a failure");
    assert_eq!(failure.code, "input_rejected");
    assert!(failure.message.contains("8675309"), "{}", failure.message);
    let log = runner.log();
    assert!(!log.contains("8675309"), "{log}");
}

#[tokio::test]
async fn model_that_cannot_be_loaded_is_told_in_words() {
    let model = models::broken();
    let mut runner = Runner::start(&model);
    let event = runner.event();
    assert_eq!(event["event"], "failed");
    let reason = event["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("model.onnx") && !reason.contains("/tmp"),
        "{reason}"
    );
    assert_eq!(runner.ended().await.code(), Some(1));
}

#[tokio::test]
async fn memory_ceiling_makes_loading_fail_and_not_the_machine() {
    let mut runner = Runner::start_with(&models::minilm(), &json!({"memory_bytes": 32 << 20}));
    let mut line = String::new();
    let ended = tokio::time::timeout(LIMIT, runner.ended())
        .await
        .expect("it ends");
    assert!(!ended.success(), "{ended}");
    std::io::Read::read_to_string(runner.output(), &mut line).expect("UTF-8");
    assert!(!line.contains("ready"), "{line}");
}

#[tokio::test]
async fn runner_ends_when_its_node_is_gone() {
    let mut runner = Runner::ready(&models::spinner());
    drop(runner.lifeline.take());
    runner.ended().await;
}

#[tokio::test]
async fn runner_killed_in_the_middle_of_a_request_is_an_error_at_once() {
    let mut runner = Runner::ready(&models::spinner());
    let client = runner.client();
    let request = tokio::spawn(async move { client.infer(spin(i64::MAX)).await });
    is_busy(runner.pid()).await;
    runner.kill();
    let answered = tokio::time::timeout(LIMIT, request)
        .await
        .expect("it does not hang")
        .expect("no panic");
    assert!(
        matches!(answered, Err(berth_transport::Error::Lost(_))),
        "{answered:?}"
    );
    runner.ended().await;
    let refused = runner.client().describe().await;
    assert!(
        matches!(refused, Err(berth_transport::Error::Unreachable(_))),
        "nobody listens any more: {refused:?}"
    );
}

#[tokio::test]
async fn caller_that_goes_away_stops_the_run() {
    let runner = Runner::ready(&models::spinner());
    let client = runner.client();
    let abandoned = tokio::spawn({
        let client = client.clone();
        async move { client.infer(spin(i64::MAX)).await }
    });
    is_busy(runner.pid()).await;
    abandoned.abort();
    is_idle(runner.pid()).await;
    let response = client.infer(spin(3)).await.expect("an answer");
    assert_eq!(response.failure, None);
}

#[tokio::test]
async fn deadline_stops_the_run() {
    let runner = Runner::ready(&models::spinner());
    let client = runner.client();
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    let mut request = spin(i64::MAX);
    request.deadline_unix_ms = u64::try_from((now + Duration::from_millis(300)).as_millis()).expect("fits");
    let response = tokio::time::timeout(LIMIT, client.infer(request))
        .await
        .expect("it does not hang");
    let response = response.expect("an answer");
    assert_eq!(response.failure.expect("a failure").code, "deadline_exceeded");
    is_idle(runner.pid()).await;
}

#[tokio::test]
async fn told_to_end_a_runner_finishes_what_it_has() {
    let mut runner = Runner::ready(&models::spinner());
    let client = runner.client();
    // Long enough to be under way when the signal comes, short enough to end.
    let request = tokio::spawn(async move { client.infer(spin(200_000)).await });
    is_busy(runner.pid()).await;
    runner.terminate();
    let response = tokio::time::timeout(LIMIT, request)
        .await
        .expect("it does not hang")
        .expect("no panic");
    assert_eq!(response.expect("an answer").failure, None);
    assert!(runner.ended().await.success());
}
