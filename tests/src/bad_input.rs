//! Bad input over the wire: each with its status and its code, in the form of the protocol, and never a 500.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use berth_test_support::wait_until;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::installation::{LIMIT, OneMachine};
use crate::tenant::{Answer, Key, Tenant, http};

const MODEL: &str = "all-minilm-l6-v2";

/// The bound on bodies in this test.
const BODY_LIMIT: &str = "64KiB";

/// A request that is wrong, and what it gets.
struct Case {
    what: &'static str,
    path: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn case(
    what: &'static str,
    path: &'static str,
    body: impl Into<Vec<u8>>,
    status: u16,
    code: &'static str,
) -> Case {
    Case {
        what,
        path,
        body: body.into(),
        status,
        code,
    }
}

fn embeddings() -> Vec<Case> {
    const PATH: &str = "/v1/embeddings";
    let with = |what, input: Value, status, code| {
        case(
            what,
            PATH,
            json!({ "model": MODEL, "input": input }).to_string(),
            status,
            code,
        )
    };
    let field = |what, name: &str, value: Value, code| {
        let mut body = json!({ "model": MODEL, "input": "x" });
        body[name] = value;
        case(what, PATH, body.to_string(), 400, code)
    };
    vec![
        case("no body", PATH, "", 400, "invalid_json"),
        case("no JSON", PATH, "{", 400, "invalid_json"),
        case(
            "a number that JSON does not know",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":NaN}}"),
            400,
            "invalid_json",
        ),
        case("a body that is a list", PATH, "[]", 400, "invalid_type"),
        case(
            "invalid UTF-8",
            PATH,
            [&b"{\"model\":\"x\",\"input\":\""[..], &[0xff, 0xfe], b"\"}"].concat(),
            400,
            "invalid_json",
        ),
        case(
            "a lone surrogate",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":\"\\ud800\"}}"),
            400,
            "invalid_value",
        ),
        case(
            "no model",
            PATH,
            "{\"input\":\"x\"}",
            400,
            "missing_required_parameter",
        ),
        case(
            "no input",
            PATH,
            format!("{{\"model\":\"{MODEL}\"}}"),
            400,
            "missing_required_parameter",
        ),
        case(
            "a model that is no text",
            PATH,
            "{\"model\":7,\"input\":\"x\"}",
            400,
            "invalid_type",
        ),
        case(
            "an unknown model",
            PATH,
            "{\"model\":\"no-such\",\"input\":\"x\"}",
            404,
            "model_not_found",
        ),
        case(
            "an unknown version",
            PATH,
            format!("{{\"model\":\"{MODEL}@99\",\"input\":\"x\"}}"),
            404,
            "model_not_found",
        ),
        case(
            "a field twice",
            PATH,
            format!("{{\"model\":\"{MODEL}\",\"input\":\"x\",\"input\":\"y\"}}"),
            400,
            "duplicate_parameter",
        ),
        case(
            "a body over the limit",
            PATH,
            vec![b' '; 70_000],
            413,
            "body_too_large",
        ),
        with("an empty list", json!([]), 400, "empty_input"),
        with("a number", json!(7), 400, "invalid_type"),
        with("an object", json!({}), 400, "invalid_type"),
        with("texts and tokens mixed", json!(["x", 7]), 400, "invalid_type"),
        with("a negative token", json!([-1]), 400, "token_out_of_range"),
        with(
            "a token outside the vocabulary",
            json!([4_000_000]),
            400,
            "token_out_of_range",
        ),
        with(
            "more tokens than the model reads",
            json!(vec![101; 600]),
            400,
            "context_length_exceeded",
        ),
        with(
            "more inputs than are taken",
            json!(vec!["x"; 2049]),
            400,
            "too_many_inputs",
        ),
        field("an unknown field", "color", json!("red"), "unknown_parameter"),
        field(
            "an unknown encoding",
            "encoding_format",
            json!("hex"),
            "invalid_value",
        ),
        field(
            "dimensions that the model does not have",
            "dimensions",
            json!(7),
            "unsupported_parameter",
        ),
        field("no dimensions", "dimensions", json!(0), "unsupported_parameter"),
    ]
}

fn tensors() -> Vec<Case> {
    const PATH: &str = "/v2/models/all-minilm-l6-v2/infer";
    let input = |name: &str, datatype: &str, shape: Value, data: Value| json!({ "name": name, "datatype": datatype, "shape": shape, "data": data });
    let good = || {
        vec![
            input("input_ids", "INT64", json!([1, 2]), json!([101, 102])),
            input("attention_mask", "INT64", json!([1, 2]), json!([1, 1])),
            input("token_type_ids", "INT64", json!([1, 2]), json!([0, 0])),
        ]
    };
    let with = |what, first: Value, code| {
        let mut inputs = good();
        inputs[0] = first;
        case(what, PATH, json!({ "inputs": inputs }).to_string(), 400, code)
    };
    let request = |what, body: Value, code| case(what, PATH, body.to_string(), 400, code);
    let mut twice = good();
    twice.push(twice[0].clone());
    vec![
        case("no body", PATH, "", 400, "invalid_json"),
        case("no JSON", PATH, "no JSON", 400, "invalid_json"),
        case(
            "an unknown model",
            "/v2/models/no-such/infer",
            "{\"inputs\":[]}",
            404,
            "model_not_found",
        ),
        case(
            "a body over the limit",
            PATH,
            vec![b' '; 70_000],
            413,
            "body_too_large",
        ),
        request("no inputs", json!({}), "missing_required_parameter"),
        request(
            "an input missing",
            json!({ "inputs": good()[..2] }),
            "missing_tensor",
        ),
        request("an input twice", json!({ "inputs": twice }), "duplicate_tensor"),
        request(
            "an unknown field",
            json!({ "inputs": good(), "color": 1 }),
            "unknown_parameter",
        ),
        request(
            "an unknown output",
            json!({ "inputs": good(), "outputs": [{ "name": "no_such" }] }),
            "unknown_tensor",
        ),
        with(
            "an unknown input",
            input("no_such", "INT64", json!([1, 2]), json!([1, 2])),
            "unknown_tensor",
        ),
        with(
            "another datatype",
            input("input_ids", "FP32", json!([1, 2]), json!([1.0, 2.0])),
            "datatype_mismatch",
        ),
        with(
            "no datatype",
            input("input_ids", "INT65", json!([1, 2]), json!([1, 2])),
            "invalid_value",
        ),
        with(
            "another rank",
            input("input_ids", "INT64", json!([2]), json!([1, 2])),
            "shape_mismatch",
        ),
        with(
            "a negative dimension",
            input("input_ids", "INT64", json!([-1, 2]), json!([1, 2])),
            "invalid_value",
        ),
        with(
            "fewer elements than the shape says",
            input("input_ids", "INT64", json!([1, 2]), json!([1])),
            "data_mismatch",
        ),
        with(
            "a shape that no memory holds",
            input(
                "input_ids",
                "INT64",
                json!([1_u64 << 40, 1_u64 << 40]),
                json!([1]),
            ),
            "data_mismatch",
        ),
        with(
            "a fraction for an integer",
            input("input_ids", "INT64", json!([1, 2]), json!([1.5, 2])),
            "invalid_type",
        ),
        with(
            "a number beyond 64 bits",
            input("input_ids", "INT64", json!([1, 2]), json!([u64::MAX, 2])),
            "data_out_of_range",
        ),
        with(
            "text for a number",
            input("input_ids", "INT64", json!([1, 2]), json!(["1", 2])),
            "invalid_type",
        ),
    ]
}

async fn send(address: &str, key: &str, case: &Case, accept: &str) -> Answer {
    let request = http().post(format!("{address}{}", case.path)).bearer_auth(key);
    let request = request
        .header("content-type", "application/json")
        .header("accept", accept);
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

#[tokio::test]
async fn bad_input_gets_its_status_and_code() {
    let state = OneMachine::state().expect("a folder");
    let settings = [("BERTH_HTTP__BODY_LIMITS__INFERENCE", BODY_LIMIT)];
    let machine = OneMachine::start_with(state.path(), true, &settings)
        .await
        .expect("starts");
    let (address, key) = (
        machine.told("address").expect("is told"),
        machine.told("api_key").expect("is told"),
    );

    let mut wrong = Vec::new();
    for case in embeddings().into_iter().chain(tensors()) {
        let answer = send(address, key, &case, "application/json").await;
        assert_form(&case, &answer);
        let problem = send(address, key, &case, "application/problem+json").await;
        let found = (answer.status.as_u16(), problem.code().unwrap_or_default());
        if found != (case.status, case.code) {
            wrong.push(format!(
                "{} {}: {found:?} instead of {:?}",
                case.path,
                case.what,
                (case.status, case.code)
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    assert_keys_are_refused(address).await;
    assert_truncated_upload_leaves_nothing(address).await;
}

async fn code_of(tenant: &Tenant, key: &Key) -> (StatusCode, Option<String>) {
    let answer = tenant
        .embed(MODEL, key, &json!("x"))
        .await
        .expect("the server answers");
    (answer.status, answer.code().map(str::to_owned))
}

async fn assert_keys_are_refused(address: &str) {
    let tenant = Tenant::sign_up(address, "keys").await.expect("signs up");
    let code = |status: StatusCode, code: &str| (status, Some(code.to_owned()));
    let no_key = Key {
        id: String::new(),
        text: "bth_dev_no_key".to_owned(),
    };
    assert_eq!(
        code_of(&tenant, &no_key).await,
        code(StatusCode::UNAUTHORIZED, "invalid_api_key")
    );

    // The model belongs to another organization, so for this key there is none.
    let foreign = tenant.make_key().await.expect("makes a key");
    assert_eq!(
        code_of(&tenant, &foreign).await,
        code(StatusCode::NOT_FOUND, "model_not_found")
    );
    tenant.revoke(&foreign).await.expect("revokes");
    assert_eq!(
        code_of(&tenant, &foreign).await,
        code(StatusCode::UNAUTHORIZED, "api_key_revoked")
    );

    let soon = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs()
        + 2;
    let date = std::process::Command::new("date")
        .args(["-u", "+%FT%TZ", "-d", &format!("@{soon}")])
        .output();
    let soon = String::from_utf8(date.expect("date runs").stdout).expect("is text");
    let wish = json!({ "title": "short", "scopes": ["inference.run"], "expires_at": soon.trim() });
    let made = tenant
        .post(&tenant.path("/api-keys"), &wish)
        .await
        .expect("the server answers");
    let made = made.accepted().expect("makes a key");
    let short = Key {
        id: String::new(),
        text: made.text_of("secret").expect("is told"),
    };
    assert_eq!(
        code_of(&tenant, &short).await,
        code(StatusCode::NOT_FOUND, "model_not_found")
    );
    let expired = code(StatusCode::UNAUTHORIZED, "api_key_expired");
    wait_until(LIMIT, || async { code_of(&tenant, &short).await == expired })
        .await
        .expect("expires");

    let answer = http()
        .post(format!("{address}/v1/embeddings"))
        .send()
        .await
        .expect("the server answers");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "without any key");
}

/// A client that goes away in the middle of an upload.
async fn assert_truncated_upload_leaves_nothing(address: &str) {
    let tenant = Tenant::sign_up(address, "uploads").await.expect("signs up");
    let host = address.trim_start_matches("http://");
    let mut line = TcpStream::connect(host).expect("connects");
    let path = tenant.path("/models/cut/versions?filename=model.onnx");
    write!(
        line,
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n\
         content-type: application/octet-stream\r\ncontent-length: 100000\r\n\r\nonly the beginning",
        tenant.token
    )
    .expect("can be sent");
    line.flush().expect("can be sent");
    line.set_read_timeout(Some(Duration::from_millis(200)))
        .expect("is set");
    drop(line);

    let answer = tenant
        .upload("empty", "model.onnx", Vec::new())
        .await
        .expect("the server answers");
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (400, Some("upload_empty")),
        "{}",
        answer.text
    );
    let models = tenant
        .get(&tenant.path("/models"))
        .await
        .expect("the server answers");
    assert_eq!(models.body["data"], json!([]), "nothing of either upload is kept");
    let key = tenant.make_key().await.expect("makes a key");
    let alive = tenant
        .call(Method::GET, "/v1/models", &key, None)
        .await
        .expect("the server answers");
    assert_eq!(alive.status, StatusCode::OK);
}
