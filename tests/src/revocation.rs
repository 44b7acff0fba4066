//! A revoked key is worthless on every node within a second.

use std::time::Duration;

use berth_test_support::wait_until;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::installation::Cluster;
use crate::tenant::{Key, Tenant};

/// What is promised: one second. The rest is for a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(3);

async fn status(tenant: &Tenant, key: &Key) -> StatusCode {
    let answer = tenant
        .call(Method::GET, "/v1/models", key, None)
        .await
        .expect("the server answers");
    answer.status
}

#[tokio::test]
async fn key_revoked_on_one_node_is_refused_on_the_other() {
    let cluster = Cluster::start().await.expect("starts");
    let here = Tenant::sign_up(cluster.address(), "tenant")
        .await
        .expect("signs up");
    let there = here.at(&cluster.apis[1].1);

    let key = here.make_key().await.expect("makes a key");
    assert_eq!(status(&here, &key).await, StatusCode::OK);
    assert_eq!(
        status(&there, &key).await,
        StatusCode::OK,
        "the other node has the key in its cache now"
    );
    here.revoke(&key).await.expect("revokes");
    assert_eq!(
        status(&here, &key).await,
        StatusCode::UNAUTHORIZED,
        "where it was revoked, it is worthless at once"
    );
    let refused = || async { status(&there, &key).await == StatusCode::UNAUTHORIZED };
    wait_until(LIMIT, refused)
        .await
        .expect("is refused on the other node");

    // The same for a whole project.
    let key = here.make_key().await.expect("makes a key");
    assert_eq!(status(&there, &key).await, StatusCode::OK);
    let suspended = here
        .post(&here.path("/suspend"), &json!({}))
        .await
        .expect("the server answers");
    suspended.accepted().expect("suspends the project");
    let refused = || async { !status(&there, &key).await.is_success() };
    wait_until(LIMIT, refused)
        .await
        .expect("its keys are refused on the other node");
}
