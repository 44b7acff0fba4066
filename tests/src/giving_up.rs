//! Clients that give up before their answer: nobody computes for them.

use std::time::Duration;

use berth_test_support::onnx_models::spinner;
use berth_test_support::wait_until;
use reqwest::{Client, Method, StatusCode, Version};
use serde_json::{Value, json};

use crate::installation::{LIMIT, OneMachine};
use crate::processes::{processor_ticks, runners};
use crate::tenant::{Key, Tenant, http};

/// How a request looks in the log when nobody waited for its answer.
const GONE: &str = "http.status=499";

/// A request for so many turns.
fn turns(count: i64) -> Value {
    json!({ "inputs": [
        { "name": "count", "datatype": "INT64", "shape": [], "data": [count] },
        { "name": "start", "datatype": "FP32", "shape": [64], "data": vec![1.0; 64] },
    ] })
}

async fn turn(client: &Client, tenant: &Tenant, key: &Key, count: i64) -> reqwest::Result<StatusCode> {
    let url = format!("{}/v2/models/spinner/infer", tenant.address);
    let request = client.post(url).bearer_auth(&key.text).json(&turns(count));
    Ok(request.send().await?.status())
}

/// A client that speaks HTTP/2 over a plain connection.
fn second_version() -> Client {
    let _ = http();
    Client::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client")
}

#[tokio::test]
async fn runner_stops_for_clients_that_give_up() {
    let state = OneMachine::state().expect("a folder");
    let settings = [
        // Whatever stops the runner, it is not the time.
        ("BERTH_HTTP__INFERENCE_TIMEOUT", "30m"),
        ("BERTH_HTTP__H2C", "true"),
        ("BERTH_TELEMETRY__LOG_LEVEL", "info"),
    ];
    let machine = OneMachine::start_with(state.path(), false, &settings)
        .await
        .expect("starts");
    let tenant = Tenant::sign_up(machine.told("address").expect("is told"), "tenant")
        .await
        .expect("signs up");
    tenant
        .serve("spinner", "spinner.onnx", spinner())
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");
    let runner = runners(machine.process.pid())[0];

    let kept = second_version();
    let ways = [
        ("HTTP/1.1, by closing the connection", http()),
        ("HTTP/2, by resetting the stream", kept.clone()),
        ("HTTP/2, by closing the connection", second_version()),
    ];
    for (number, (way, client)) in ways.into_iter().enumerate() {
        let before = processor_ticks(runner);
        let (waiting, key_of) = (tenant.clone(), key.clone());
        let request = tokio::spawn(async move { turn(&client, &waiting, &key_of, i64::MAX).await });
        let computes = || async { processor_ticks(runner) > before + 10 };
        wait_until(LIMIT, computes).await.expect(way);
        request.abort();
        assert!(request.await.expect_err("nobody waits any more").is_cancelled());

        // The runner computes one request at a time: it comes to this one when it has left the other.
        let next = http();
        let next = tokio::time::timeout(LIMIT, turn(&next, &tenant, &key, 3));
        let status = next.await.expect(way).expect("the server answers");
        assert_eq!(status, StatusCode::OK, "{way}");
        let told = || async { machine.process.output().matches(GONE).count() == number + 1 };
        wait_until(LIMIT, told).await.expect(way);
    }
    // The connection whose stream was reset serves others.
    let url = format!("{}/healthz", tenant.address);
    let answer = kept.get(url).send().await.expect("the server answers");
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    assert_eq!(runners(machine.process.pid()), [runner], "the runner lives");
}

#[tokio::test]
async fn plain_connection_serves_many_requests_of_http_2_at_once() {
    let state = OneMachine::state().expect("a folder");
    let settings = [("BERTH_HTTP__H2C", "true")];
    let machine = OneMachine::start_with(state.path(), false, &settings)
        .await
        .expect("starts");
    let address = machine.told("address").expect("is told").to_owned();
    let tenant = Tenant::sign_up_by(second_version(), &address, "tenant")
        .await
        .expect("signs up");
    let key = tenant.make_key().await.expect("makes a key");
    let calls = (0..200).map(|_| tenant.call(Method::GET, "/v1/models", &key, None));
    let calls = tokio::time::timeout(LIMIT, futures_util::future::join_all(calls));
    for answer in calls.await.expect("in time") {
        assert_eq!(answer.expect("is answered").status, StatusCode::OK);
    }
    // A body that comes in many small pieces is put together.
    let pieces = futures_util::stream::iter(
        json!({ "name": "second", "title": "Second" })
            .to_string()
            .into_bytes()
            .into_iter()
            .map(|byte| Ok::<_, std::io::Error>(vec![byte])),
    );
    let request = second_version()
        .post(format!("{address}/api/v1/organizations"))
        .bearer_auth(&tenant.token)
        .header("content-type", "application/json")
        .timeout(Duration::from_mins(1))
        .body(reqwest::Body::wrap_stream(pieces));
    let answer = request.send().await.expect("is answered");
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::CREATED, Version::HTTP_2)
    );
}
