//! What dies, and what goes on.

use anyhow::Result;
use berth_test_support::{minilm_folder, wait_for, wait_until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::installation::{Cluster, LIMIT};
use crate::processes::{is_alive, kill, processor_ticks, runners};
use crate::tenant::{Answer, Key, Tenant, packed};

const MODEL: &str = "all-minilm-l6-v2";

/// Texts that keep a runner busy for a while: each takes some tenth of a second.
fn texts(count: usize) -> Value {
    let text = "the quick brown fox jumps over the lazy dog ".repeat(28);
    json!(vec![text; count])
}

/// Sends a long request and waits until the runner computes for it.
async fn in_the_middle(
    tenant: &Tenant,
    key: &Key,
    runner: u32,
    count: usize,
) -> tokio::task::JoinHandle<Result<Answer>> {
    let before = processor_ticks(runner);
    let (tenant, key) = (tenant.clone(), key.clone());
    let request = tokio::spawn(async move { tenant.embed(MODEL, &key, &texts(count)).await });
    let computes = || async { processor_ticks(runner) > before + 20 };
    wait_until(LIMIT, computes).await.expect("the runner computes");
    request
}

#[tokio::test]
async fn runner_killed_in_the_middle_costs_one_request() {
    let mut cluster = Cluster::start().await.expect("starts");
    let tenant = Tenant::sign_up(cluster.address(), "tenant")
        .await
        .expect("signs up");
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    tenant
        .serve(MODEL, "model.tar.gz", archive)
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");

    let before = runners(cluster.worker.pid());
    assert_eq!(before.len(), 1, "one process for one loaded model");
    let request = in_the_middle(&tenant, &key, before[0], 128).await;
    kill(before[0]).expect("the runner can be killed");
    let answer = request.await.expect("no panic").expect("the API answers");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
    assert_eq!(answer.code(), Some("runner_crashed"), "{}", answer.text);
    assert!(answer.retry_after.is_some(), "it says when to try again");

    // Until the process is there again, whoever asks is told to wait, and how long.
    let served = wait_for(LIMIT, || async {
        let answer = tenant.embed(MODEL, &key, &json!("again")).await;
        let answer = answer.expect("the API answers");
        if answer.status.is_success() {
            return Some(answer);
        }
        let code = answer.code();
        assert!(
            matches!(code, Some("model_not_ready" | "runner_crashed")),
            "{}",
            answer.text
        );
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
        assert!(answer.retry_after.is_some(), "{}", answer.text);
        None
    });
    let answer = served.await.expect("the next request is served");
    assert_eq!(
        answer.body["data"][0]["embedding"].as_array().map(Vec::len),
        Some(384)
    );
    let after = runners(cluster.worker.pid());
    assert!(after.len() == 1 && after != before, "{before:?} became {after:?}");
    for (api, address) in &mut cluster.apis {
        assert!(
            api.exit_status().expect("can be asked").is_none(),
            "the API at {address} lives"
        );
    }
}

#[tokio::test]
async fn api_that_is_asked_to_end_answers_what_is_running() {
    let mut cluster = Cluster::start().await.expect("starts");
    let tenant = Tenant::sign_up(cluster.address(), "tenant")
        .await
        .expect("signs up");
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    tenant
        .serve(MODEL, "model.tar.gz", archive)
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");
    let runner = runners(cluster.worker.pid())[0];
    let request = in_the_middle(&tenant, &key, runner, 16).await;

    let ended = tokio::task::spawn_blocking(move || (cluster.apis[0].0.terminate(), cluster)).await;
    let (status, cluster) = ended.expect("no panic");
    assert!(status.expect("ends in time").success());
    let answer = request.await.expect("no panic").expect("is answered");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert!(is_alive(runner), "the runner goes on, for the other API");
    let other = tenant.at(&cluster.apis[1].1);
    let answer = other
        .embed(MODEL, &key, &json!("there"))
        .await
        .expect("the other API answers");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}
