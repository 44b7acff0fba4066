//! An installation whose files of models lie in a bucket.

use anyhow::Result;
use berth_test_support::servers::seaweedfs::{self, ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use berth_test_support::{minilm_folder, seaweedfs_program};
use serde_json::json;

use crate::installation::Cluster;
use crate::tenant::{Tenant, packed};

const MODEL: &str = "all-minilm-l6-v2";

/// The parts that do not hold, in the words of `berth doctor`.
fn complaints(cluster: &Cluster, settings: &[(&str, &str)]) -> Result<String> {
    let outcome = cluster.command_with(&["doctor", "--for", "api", "--output", "json"], settings)?;
    let findings: serde_json::Value = serde_json::from_str(&outcome.output)?;
    let complaints: Vec<String> = findings
        .as_array()
        .into_iter()
        .flatten()
        .filter(|finding| finding["holds"] == false)
        .map(|finding| format!("{}: {}", finding["part"], finding["words"]))
        .collect();
    Ok(complaints.join("\n"))
}

#[tokio::test]
async fn model_is_served_out_of_a_bucket() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&seaweedfs::Options::new(
        seaweedfs_program().expect("is named"),
        folder.path().join("s3"),
    ))
    .expect("the server starts");
    let (url, staging) = (server.url(), folder.path().join("staging"));
    let cluster = Cluster::start_with(&[
        ("BERTH_ARTIFACTS__FOLDER", ""),
        ("BERTH_ARTIFACTS__STAGING_FOLDER", &staging.display().to_string()),
        ("BERTH_ARTIFACTS__S3__BUCKET", "models"),
        ("BERTH_ARTIFACTS__S3__PREFIX", "berth"),
        ("BERTH_ARTIFACTS__S3__REGION", "eu-central-1"),
        ("BERTH_ARTIFACTS__S3__ENDPOINT", &url),
        ("BERTH_ARTIFACTS__S3__ALLOW_HTTP", "true"),
        ("BERTH_ARTIFACTS__S3__ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("BERTH_ARTIFACTS__S3__SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ])
    .await
    .expect("starts");
    let tenant = Tenant::sign_up(cluster.address(), "tenant")
        .await
        .expect("signs up");

    // Its graph is sent in three parts.
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    tenant
        .serve(MODEL, "model.tar.gz", archive.clone())
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");
    let other = tenant.at(&cluster.apis[1].1);
    other.wait_until_served(MODEL, &key).await.expect("is served");
    let answer = other
        .embed(MODEL, &key, &json!("A man is playing a guitar."))
        .await
        .expect("answers");
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    assert!(!cluster.artifacts().exists(), "nothing is kept beside the bucket");
    let left: Vec<_> = std::fs::read_dir(&staging).expect("is there").collect();
    assert!(left.is_empty(), "nothing is staged any more: {left:?}");

    // The operator is told what is wrong with the settings.
    assert_eq!(complaints(&cluster, &[]).expect("runs"), "");
    for (name, value, words) in [
        (
            "BERTH_ARTIFACTS__S3__SECRET_ACCESS_KEY",
            "wrong",
            "SignatureDoesNotMatch",
        ),
        (
            "BERTH_ARTIFACTS__S3__ACCESS_KEY_ID",
            "nobody",
            "InvalidAccessKeyId",
        ),
        ("BERTH_ARTIFACTS__S3__BUCKET", "no-such-bucket", "NoSuchBucket"),
    ] {
        let told = complaints(&cluster, &[(name, value)]).expect("runs");
        assert!(told.contains("artifacts") && told.contains(words), "{told}");
        assert!(!told.contains(SECRET_ACCESS_KEY), "{told}");
    }

    // A bucket that is away refuses what is new, and holds up nothing of what is loaded.
    server.kill().expect("can be killed");
    let answer = tenant
        .upload("second", "model.tar.gz", archive)
        .await
        .expect("the server answers");
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (503, Some("unavailable")),
        "{}",
        answer.text
    );
    assert!(answer.retry_after.is_some(), "it says when to try again");
    let models = tenant.get(&tenant.path("/models/second")).await;
    assert_eq!(
        models.expect("answers").status.as_u16(),
        404,
        "nothing is half made"
    );
    let answer = tenant.embed(MODEL, &key, &json!("again")).await.expect("answers");
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
}
