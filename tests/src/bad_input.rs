//! Bad input over the wire: each with its status and its code, in the form of the protocol, and never a 500.

mod binary;
mod control_plane;
mod heads;
mod keys;
mod samples;
mod tensors;
mod texts;
mod typed;
mod uploads;

use std::borrow::Cow;

use reqwest::{Client, Method};
use serde_json::json;

use crate::installation::OneMachine;
use crate::tenant::{Answer, Key, Tenant, http};

const MODEL: &str = "all-minilm-l6-v2";

/// The bound on bodies in this test.
const BODY_LIMIT: &str = "64KiB";

/// A request that is wrong, and what it gets.
struct Case {
    what: Cow<'static, str>,
    path: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// Set when the body says that tensors follow its JSON.
    binary: Option<Binary>,
}

/// What a request with tensors in binary says of itself.
struct Binary {
    header_length: String,
}

fn case(
    what: impl Into<Cow<'static, str>>,
    path: &'static str,
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
) -> Case {
    Case {
        what: what.into(),
        path,
        body: body.into(),
        status,
        code,
        binary: None,
    }
}

/// So many lists in each other.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

async fn send(client: &Client, address: &str, key: &str, case: &Case, accept: &str) -> Answer {
    let mut request = client
        .post(format!("{address}{}", case.path))
        .bearer_auth(key)
        .header("accept", accept);
    request = match &case.binary {
        None => request.header("content-type", "application/json"),
        Some(binary) => request
            .header("content-type", "application/octet-stream")
            .header("inference-header-content-length", &binary.header_length),
    };
    let response = request
        .body(case.body.clone())
        .send()
        .await
        .expect("the server answers");
    Answer::read(response).await.expect("the answer is whole")
}

/// The form of the error on each surface: all four keys for OpenAI's clients, one text for the inference protocol.
fn assert_form(case: &Case, answer: &Answer) {
    let error = &answer.body["error"];
    if case.path.starts_with("/v1") {
        for key in ["message", "type", "param", "code"] {
            assert!(
                error.get(key).is_some(),
                "{}: `{key}` in {}",
                case.what,
                answer.text
            );
        }
    } else {
        assert!(error.is_string(), "{}: {}", case.what, answer.text);
    }
}

/// Asks for each, and tells which answers differ from what they should be.
async fn differing(client: &Client, address: &str, key: &str, cases: Vec<Case>) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in cases {
        let answer = send(client, address, key, &case, "application/json").await;
        if answer.status.is_client_error() {
            assert_form(&case, &answer);
        }
        // The code is in the problem, whatever the protocol.
        let problem = send(client, address, key, &case, "application/problem+json").await;
        let (found, wanted) = (
            (answer.status.as_u16(), problem.code().unwrap_or_default()),
            (case.status, case.code),
        );
        if found != wanted {
            let (path, what) = (case.path, &case.what);
            wrong.push(format!(
                "{path} {what}: {found:?} instead of {wanted:?}: {:.200}",
                answer.text
            ));
        }
    }
    wrong
}

#[tokio::test]
async fn bad_requests_to_models_get_their_status_and_code() {
    let state = OneMachine::state().expect("a folder");
    let settings = [("BERTH_HTTP__BODY_LIMITS__INFERENCE", BODY_LIMIT)];
    let machine = OneMachine::start_with(state.path(), true, &settings)
        .await
        .expect("starts");
    let (address, key) = (
        machine.told("address").expect("is told"),
        machine.told("api_key").expect("is told"),
    );
    let tenant = Tenant::sign_up(address, "tenant").await.expect("signs up");
    typed::serve(&tenant).await.expect("is served");
    let typed_key = tenant.make_key().await.expect("makes a key");

    let client = http();
    let all = texts::cases()
        .into_iter()
        .chain(tensors::cases())
        .chain(binary::cases());
    let mut wrong = differing(&client, address, key, all.collect()).await;
    let typed: Vec<_> = typed::cases()
        .into_iter()
        .chain([binary::text_too_short()])
        .collect();
    wrong.extend(differing(&client, address, &typed_key.text, typed).await);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_good_requests_are_served(&tenant, &typed_key, address, key).await;
    keys::assert_all_are_refused(address).await;

    let log = machine.process.output();
    assert!(!log.contains("request failed"), "no fault of the server: {log}");
}

/// What looks odd and is right; and that after all this the models answer as ever.
async fn assert_good_requests_are_served(tenant: &Tenant, typed_key: &Key, address: &str, key: &str) {
    let (path, body) = typed::good();
    let good = case("what is right", path, body, 200, "");
    let answer = send(&http(), address, &typed_key.text, &good, "application/json").await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    typed::assert_echoed(&answer.body);

    let demo = Key {
        id: String::new(),
        text: key.to_owned(),
    };
    for input in [
        json!("a\0b"),
        json!(" \n\t"),
        json!("\u{1F600}\u{202e}\u{ffff}"),
        json!([101, 102]),
    ] {
        let answer = tenant
            .embed(MODEL, &demo, &input)
            .await
            .expect("the server answers");
        assert_eq!(answer.status.as_u16(), 200, "{input}: {}", answer.text);
    }
    let list = tenant.call(Method::GET, "/v1/models", &demo, None).await;
    assert_eq!(list.expect("the server answers").body["data"][0]["id"], MODEL);
}
