//! What models and deployments demand of a node: memory and devices.

use berth_coordination::records::{ReplicaRecord, ReplicaState};
use berth_domain::deployment::DeviceKind;
use berth_protocol::runner::Operation;
use serde_json::json;

use crate::models;
use crate::nodes::{Site, runner};
use crate::runners::request;

/// Asks the greedy model for so many numbers of four bytes.
async fn numbers(replica: &ReplicaRecord, count: i64) -> Option<(String, String)> {
    let input = json!({"name": "count", "datatype": "INT64", "shape": [1], "data": [count]});
    let body = json!({"inputs": [input]}).to_string();
    let answer = runner(replica).infer(request(Operation::OipInfer, &body)).await;
    let failure = answer.expect("the runner answers").failure;
    failure.map(|failure| (failure.code, failure.message))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_that_wants_more_memory_than_its_ceiling_gets_an_error_and_others_go_on() {
    let site = Site::new().await;
    let mut greedy = site.publish(&models::greedy()).await;
    // What it was measured to take, long ago: three times that and the slack are its ceiling.
    greedy.resident_bytes = 32 << 20;
    let modest = site.publish(&models::minilm()).await;
    let mut command = site.command();
    command.env("BERTH_WORKER__RUNNER_SLACK", "64MiB");
    let (_node, worker) = site.node_of(&mut command).await;
    let both = [greedy.clone(), modest.clone()];
    site.fleet.assign(worker.id, &both).await.expect("told");
    let ready = |version| {
        site.replica(move |replica| replica.version == version && replica.state == ReplicaState::Ready)
    };
    let (greedy, modest) = (ready(greedy.version).await, ready(modest.version).await);
    assert_eq!(greedy.providers, ["cpu"], "what it really runs on is told");

    assert_eq!(numbers(&greedy, 1_000_000).await, None, "4 MB are there");
    // The whole machine may have the first of these; no machine has the second.
    for count in [100_000_000, 25_000_000_000] {
        let (code, message) = numbers(&greedy, count).await.expect("is refused");
        assert_eq!(code, "model_failed", "{count}: {message}");
    }
    let text = r#"{"model":"m","input":"A man is playing a guitar."}"#;
    let answer = runner(&modest).infer(request(Operation::Embeddings, text)).await;
    assert_eq!(
        answer.expect("an answer").failure,
        None,
        "the other model answers"
    );
    assert_eq!(numbers(&greedy, 1_000_000).await, None, "and so does this one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn device_that_is_demanded_and_not_there_is_told_and_nothing_else_taken() {
    let site = Site::new().await;
    let mut assignment = site.publish(&models::greedy()).await;
    assignment.device = DeviceKind::Cuda;
    let mut command = site.command();
    command.env("BERTH_WORKER__LABELS", "{ zone = \"a\" }");
    let (_node, worker) = site.node_of(&mut command).await;
    assert_eq!(
        (worker.labels["zone"].as_str(), worker.providers.as_slice()),
        ("a", &["cpu".to_owned()][..])
    );
    site.fleet.assign(worker.id, &[assignment]).await.expect("told");
    let replica = site.replica(|replica| replica.trouble.is_some()).await;
    assert_eq!(
        replica.trouble.as_deref(),
        Some("The deployment demands `cuda`, and this worker computes on cpu alone.")
    );
    assert!(
        replica.address.is_none() && replica.providers.is_empty(),
        "{replica:?}"
    );
}
