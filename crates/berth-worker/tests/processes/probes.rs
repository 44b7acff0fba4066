//! What a node tells of itself over HTTP.

use berth_coordination::records::ReplicaState;
use berth_protocol::worker::StatusRequest;
use berth_test_support::{Process, wait_for, wait_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::models;
use crate::node::{kill, proof};
use crate::nodes::{Site, control};
use crate::runners::LIMIT;

/// The status and the body of an answer.
async fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.expect("a status"), body.to_owned())
}

/// The value of a series such as `name{label="x"}`.
async fn value(address: &str, series: &str) -> Option<f64> {
    let (_, metrics) = get(address, "/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

async fn until(address: &str, series: &str, fits: impl Fn(f64) -> bool) {
    let reached = wait_until(LIMIT, || async {
        value(address, series).await.is_some_and(&fits)
    });
    let reached = reached.await;
    assert!(
        reached.is_ok(),
        "{series} in\n{}",
        get(address, "/metrics").await.1
    );
}

/// Counts are whole numbers.
fn is(count: f64) -> impl Fn(f64) -> bool {
    move |value| (value - count).abs() < f64::EPSILON
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_tells_its_health_and_counts_its_runners() {
    let site = Site::new().await;
    let assignment = site.publish(&models::minilm()).await;
    let mut command = site.command();
    command.env("BERTH_WORKER__LISTEN", "127.0.0.1:0");
    let mut node = Process::spawn("node", &mut command).expect("starts");
    let address = node
        .wait_for_line(LIMIT, |line| {
            line.strip_prefix("metrics on http://").map(str::to_owned)
        })
        .await
        .expect("it says where");
    let worker = wait_for(LIMIT, || async {
        site.fleet.workers().await.expect("the fleet answers").pop()
    });
    let worker = worker.await.expect("it joins");

    assert_eq!(get(&address, "/healthz").await.0, 200);
    let (status, parts) = get(&address, "/readyz").await;
    assert_eq!(status, 200, "{parts}");
    assert!(
        parts.contains("\"coordination\"") && parts.contains("\"artifacts\""),
        "{parts}"
    );
    let build = format!(
        "berth_build_info{{program=\"berth-worker\",version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(value(&address, &build).await, Some(1.0));
    let loaded = "berth_model_loads_total{purpose=\"serving\",outcome=\"loaded\"}";
    let killed = "berth_runner_exits_total{purpose=\"serving\",reason=\"killed\"}";
    let stopped = "berth_runner_exits_total{purpose=\"serving\",reason=\"stopped\"}";
    let resident = "berth_model_resident_bytes";
    for series in [loaded, killed, stopped, resident] {
        assert_eq!(value(&address, series).await, Some(0.0), "{series}");
    }

    site.fleet
        .assign(worker.id, std::slice::from_ref(&assignment))
        .await
        .expect("told");
    let first = site.ready().await;
    until(&address, loaded, is(1.0)).await;
    until(&address, resident, |bytes| bytes > 20e6).await;

    let status = control(&worker).await.status(StatusRequest {}).await;
    let pid = status.expect("an answer").into_inner().replicas[0].pid;
    kill(pid);
    site.replica(|replica| replica.state == ReplicaState::Ready && replica.address != first.address)
        .await;
    until(&address, killed, is(1.0)).await;
    until(&address, loaded, is(2.0)).await;

    site.fleet.assign(worker.id, &[]).await.expect("told");
    until(&address, stopped, is(1.0)).await;
    until(&address, resident, is(0.0)).await;

    // A model that cannot be loaded, as a proof finds out.
    let broken = models::broken();
    site.publish(&broken).await;
    let proved = control(&worker).await.prove(proof(&site, &broken)).await;
    assert!(!proved.expect("an answer").into_inner().ok);
    for series in [
        "berth_model_loads_total{purpose=\"proof\",outcome=\"refused\"}",
        "berth_runner_exits_total{purpose=\"proof\",reason=\"refused\"}",
    ] {
        until(&address, series, is(1.0)).await;
    }
    assert!(node.terminate().expect("it ends").success());
    assert!(TcpStream::connect(&address).await.is_err(), "nothing listens");
}
