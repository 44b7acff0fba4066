//! Keys that open nothing, at every address that takes one.

use std::process::Command;
use std::time::SystemTime;

use berth_test_support::wait_until;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::MODEL;
use crate::installation::LIMIT;
use crate::tenant::{Answer, Key, Tenant, http};

/// How long the key lives that expires.
const LIFE_SECONDS: u64 = 3;

fn key(text: impl Into<String>) -> Key {
    Key {
        id: String::new(),
        text: text.into(),
    }
}

/// Asks at every address of `/v1` and `/v2` that takes a key; the code is that of the problem.
async fn everywhere(tenant: &Tenant, key: Option<&Key>) -> Vec<(String, u16, Option<String>)> {
    let model = format!("/v2/models/{MODEL}");
    let body = json!({ "model": MODEL, "input": "x", "inputs": [] });
    let mut found = Vec::new();
    for (method, path, body) in [
        (Method::POST, "/v1/embeddings".to_owned(), Some(&body)),
        (Method::GET, "/v1/models".to_owned(), None),
        (Method::GET, format!("/v1/models/{MODEL}"), None),
        (Method::GET, model.clone(), None),
        (Method::GET, format!("{model}/versions/1"), None),
        (Method::GET, format!("{model}/ready"), None),
        (Method::GET, format!("{model}/versions/1/ready"), None),
        (Method::POST, format!("{model}/infer"), Some(&body)),
        (Method::POST, format!("{model}/versions/1/infer"), Some(&body)),
    ] {
        let mut request = http()
            .request(method, format!("{}{path}", tenant.address))
            .header("accept", "application/problem+json");
        if let Some(key) = key {
            request = request.bearer_auth(&key.text);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the server answers");
        let answer = Answer::read(answer).await.expect("is whole");
        found.push((path, answer.status.as_u16(), answer.code().map(str::to_owned)));
    }
    found
}

async fn assert_refused(tenant: &Tenant, key: Option<&Key>, code: &str) {
    for (path, status, found) in everywhere(tenant, key).await {
        assert_eq!((status, found.as_deref()), (401, Some(code)), "{path}");
    }
}

/// The time so many seconds from now, as JSON has it.
fn from_now(seconds: u64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let date = Command::new("date")
        .args(["-u", "+%FT%TZ", "-d", &format!("@{}", now + seconds)])
        .output()
        .expect("date runs");
    let text = String::from_utf8(date.stdout).expect("is text");
    text.trim().to_owned()
}

async fn embed(tenant: &Tenant, key: &Key) -> (StatusCode, Option<String>) {
    let answer = tenant.embed(MODEL, key, &json!("x")).await;
    let answer = answer.expect("the server answers");
    (answer.status, answer.code().map(str::to_owned))
}

/// Keys of nobody, of another organization, revoked, expired; the model belongs to none of them.
pub(super) async fn assert_all_are_refused(address: &str) {
    let tenant = Tenant::sign_up(address, "keys").await.expect("signs up");
    assert_refused(&tenant, None, "credentials_missing").await;
    let long = "x".repeat(60_000);
    for text in ["bth_dev_no_key", "x", "sk-1234", "bth_dev__", "a b", &long] {
        assert_refused(&tenant, Some(&key(text)), "invalid_api_key").await;
    }

    // What looks like the token of a person is judged as one.
    assert_refused(&tenant, Some(&key("eyJ.e30.x")), "access_token_invalid").await;

    // For the key of another organization there is no such model.
    let foreign = tenant.make_key().await.expect("makes a key");
    for (path, status, code) in everywhere(&tenant, Some(&foreign)).await {
        if path == "/v1/models" {
            assert_eq!(status, 200, "the list is empty");
        } else {
            assert_eq!(
                (status, code.as_deref()),
                (404, Some("model_not_found")),
                "{path}"
            );
        }
    }
    let list = tenant.call(Method::GET, "/v1/models", &foreign, None).await;
    assert_eq!(list.expect("the server answers").body["data"], json!([]));

    // The text of a key with another secret is nobody's.
    let (known, secret) = foreign.text.rsplit_once('_').expect("has parts");
    let guess = key(format!("{known}_{}", "A".repeat(secret.len())));
    assert_refused(&tenant, Some(&guess), "invalid_api_key").await;
    tenant.revoke(&foreign).await.expect("revokes");
    assert_refused(&tenant, Some(&foreign), "api_key_revoked").await;

    let wish = json!({
        "title": "short", "scopes": ["inference.run"], "expires_at": from_now(LIFE_SECONDS),
    });
    let made = tenant.post(&tenant.path("/api-keys"), &wish).await;
    let made = made.expect("the server answers").accepted().expect("makes a key");
    let short = key(made.text_of("secret").expect("is told"));
    let expired = (StatusCode::UNAUTHORIZED, Some("api_key_expired".to_owned()));
    wait_until(LIMIT, || async { embed(&tenant, &short).await == expired })
        .await
        .expect("expires");
    assert_refused(&tenant, Some(&short), "api_key_expired").await;

    // A key without the scope may know nothing of models.
    let wish = json!({ "title": "reads projects", "scopes": ["projects.read"] });
    let made = tenant.post(&tenant.path("/api-keys"), &wish).await;
    let made: Value = made
        .expect("the server answers")
        .accepted()
        .expect("makes a key")
        .body;
    let narrow = key(made["secret"].as_str().expect("is told"));
    for (path, status, code) in everywhere(&tenant, Some(&narrow)).await {
        assert_eq!(
            (status, code.as_deref()),
            (403, Some("permission_denied")),
            "{path}"
        );
    }
}
