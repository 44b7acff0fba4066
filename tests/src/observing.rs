//! What monitoring sees of an installation.

use std::collections::BTreeSet;

use berth_telemetry::metrics::names::METRICS;
use berth_test_support::{Process, minilm_folder, wait_until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::installation::{Cluster, LIMIT};
use crate::tenant::{Answer, Tenant, http, packed};

/// Where a process that serves no API tells its health and metrics.
async fn observed_at(process: &mut Process) -> String {
    let told = |line: &str| line.strip_prefix("metrics on ").map(str::to_owned);
    process.wait_for_line(LIMIT, told).await.expect("it says where")
}

async fn get(address: &str, path: &str) -> Answer {
    let answer = http().get(format!("{address}{path}")).send().await;
    Answer::read(answer.expect("it answers")).await.expect("whole")
}

/// The names of the series, those of histograms without their endings.
fn names(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| {
        let end = line.find(['{', ' ']).unwrap_or(line.len());
        line[..end].to_owned()
    };
    let mut names: BTreeSet<_> = samples.map(name).collect();
    for ending in ["_bucket", "_sum", "_count"] {
        let whole: Vec<_> = names
            .iter()
            .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
            .collect();
        names.extend(whole);
    }
    names
}

fn parts(readiness: &Value) -> Vec<&str> {
    let parts = readiness["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["name"].as_str()).collect()
}

#[tokio::test]
async fn every_metric_can_be_read_after_one_call() {
    let settings = [
        ("BERTH_TASKS__LISTEN", "127.0.0.1:0"),
        ("BERTH_WORKER__LISTEN", "127.0.0.1:0"),
    ];
    let mut cluster = Cluster::start_with(&settings).await.expect("starts");
    let tasks = observed_at(&mut cluster.tasks).await;
    let worker = observed_at(&mut cluster.worker).await;
    let api = cluster.address().to_owned();
    let tenant = Tenant::sign_up(&api, "tenant").await.expect("signs up");
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    tenant
        .serve("minilm", "model.tar.gz", archive)
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");
    let embedded = tenant.embed("minilm", &key, &json!("a text")).await;
    embedded
        .expect("the server answers")
        .accepted()
        .expect("is embedded");

    let declared: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let mut missing = declared.clone();
    let mut undeclared = BTreeSet::new();
    for address in [&api, &tasks, &worker] {
        let metrics = get(address, "/metrics").await;
        assert_eq!(metrics.status, StatusCode::OK);
        let ours = |name: &&String| name.starts_with("berth_");
        let seen = names(&metrics.text);
        missing = missing.difference(&seen).cloned().collect();
        let endings = ["_bucket", "_sum", "_count"];
        let is_part = |name: &String| {
            endings.iter().any(|ending| {
                name.strip_suffix(ending)
                    .is_some_and(|whole| declared.contains(whole))
            })
        };
        undeclared.extend(
            seen.iter()
                .filter(ours)
                .filter(|name| !declared.contains(*name) && !is_part(name))
                .cloned(),
        );
    }
    assert!(missing.is_empty(), "recorded nowhere: {missing:?}");
    assert!(undeclared.is_empty(), "declared nowhere: {undeclared:?}");

    for (address, needed) in [
        (&tasks, &["database", "coordination", "queue", "artifacts"][..]),
        (&worker, &["coordination", "artifacts"]),
    ] {
        assert_eq!(get(address, "/healthz").await.status, StatusCode::OK);
        let ready = get(address, "/readyz").await;
        assert_eq!(ready.status, StatusCode::OK, "{}", ready.text);
        assert_eq!(parts(&ready.body), needed);
    }
}

#[tokio::test]
async fn part_that_is_away_is_named_by_the_background_work() {
    let settings = [
        ("BERTH_TASKS__LISTEN", "127.0.0.1:0"),
        ("BERTH_REDIS__TIMEOUT", "500ms"),
    ];
    let mut cluster = Cluster::start_behind_lines(&settings).await.expect("starts");
    let tasks = observed_at(&mut cluster.tasks).await;
    assert_eq!(get(&tasks, "/readyz").await.status, StatusCode::OK);
    let lines = cluster.lines().expect("it stands behind lines");
    lines.cut(
        crate::installation::Member::Tasks,
        crate::installation::Server::Redis,
    );
    let absent = || async {
        let ready = get(&tasks, "/readyz").await;
        let away: Vec<_> = ready.body["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|part| part["ready"] == false)
            .map(|part| part["name"].clone())
            .collect();
        ready.status == StatusCode::SERVICE_UNAVAILABLE && away == [json!("coordination")]
    };
    wait_until(LIMIT, absent).await.expect("says what is away");
    assert_eq!(
        get(&tasks, "/healthz").await.status,
        StatusCode::OK,
        "the process lives"
    );
}
