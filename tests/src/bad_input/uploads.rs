//! Uploads that are none, or break off: each with its code, and nothing of it is kept.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};

use berth_test_support::onnx_models::adder;
use berth_test_support::wait_until;
use futures_util::{StreamExt as _, stream};
use reqwest::{Body, Client};
use serde_json::json;

use crate::installation::{LIMIT, OneApi};
use crate::tenant::{Answer, Tenant, http};

/// The bound on uploads in this test.
const UPLOAD_LIMIT: &str = "64KiB";

/// How long an upload may stand still in this test.
const STALL: &str = "1s";

/// An upload that is wrong, and what it gets.
struct Upload {
    what: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn upload(what: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Upload {
    Upload {
        what,
        query: "?filename=model.onnx",
        headers: &[],
        body: body.into(),
        status,
        code,
    }
}

fn named(query: &'static str, status: u16, code: &'static str) -> Upload {
    Upload {
        query,
        ..upload(query, adder(), status, code)
    }
}

fn with(
    what: &'static str,
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    code: &'static str,
) -> Upload {
    Upload {
        headers,
        ..upload(what, adder(), status, code)
    }
}

fn uploads() -> Vec<Upload> {
    let good = adder();
    let archive = |query, body: &[u8], code| Upload {
        query,
        ..upload(query, body, 422, code)
    };
    vec![
        upload("nothing", b"", 400, "upload_empty"),
        upload("text", b"hello world", 422, "model_malformed"),
        upload("JSON", b"{\"model\":1}", 422, "model_malformed"),
        upload("zeros", vec![0; 1000], 422, "model_malformed"),
        upload("ones", vec![0xff; 1000], 422, "model_malformed"),
        upload("half a graph", &good[..good.len() / 2], 422, "model_truncated"),
        upload("more than is taken", vec![0; 70_000], 413, "body_too_large"),
        archive("?filename=model.zip", &good, "archive_malformed"),
        archive("?filename=model.tar.gz", &good, "archive_malformed"),
        archive("?filename=model.zip&", b"PK\x03\x04", "archive_truncated"),
        archive("?filename=model.tar.gz&", b"\x1f\x8b\x08\0", "archive_malformed"),
        named("?filename=a.onnx&filename=b.onnx", 400, "duplicate_parameter"),
        named("?file=a.onnx", 400, "unknown_parameter"),
        named("?filename=a.onnx&digest=x", 400, "unknown_parameter"),
        with(
            "another digest",
            &[(
                "repr-digest",
                "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            )],
            400,
            "digest_mismatch",
        ),
        with(
            "half a digest",
            &[("content-digest", "sha-256=:RK/0:")],
            400,
            "header_invalid",
        ),
        with(
            "a digest that is none",
            &[("repr-digest", "sha-256=abc")],
            400,
            "header_invalid",
        ),
        with(
            "a form",
            &[("content-type", "multipart/form-data; boundary=x")],
            415,
            "content_type_unsupported",
        ),
        with(
            "as JSON",
            &[("content-type", "application/json")],
            415,
            "content_type_unsupported",
        ),
        with(
            "as text",
            &[("content-type", "text/plain")],
            415,
            "content_type_unsupported",
        ),
        with(
            "packed",
            &[("content-encoding", "gzip")],
            415,
            "content_encoding_unsupported",
        ),
    ]
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// Waits until nothing of an upload is left, which no request tells when it broke off.
async fn assert_nothing_is_kept(api: &OneApi, tenant: &Tenant, what: &str) {
    let gone = || async { files(&api.artifacts()).is_empty() };
    wait_until(LIMIT, gone).await.expect(what);
    let models = tenant
        .get(&tenant.path("/models"))
        .await
        .expect("the server answers");
    assert_eq!(models.body["data"], json!([]), "{what}");
}

/// Waits until bytes of an upload lie in the staging folder.
async fn wait_until_staged(api: &OneApi, what: &str) {
    let staged = || async { !files(&api.artifacts().join(".staging")).is_empty() };
    wait_until(LIMIT, staged).await.expect(what);
}

async fn send(tenant: &Tenant, upload: &Upload) -> Answer {
    let path = tenant.path("/models/refused/versions");
    let mut request = http()
        .post(format!("{}{path}{}", tenant.address, upload.query))
        .bearer_auth(&tenant.token);
    let typed = upload.headers.iter().any(|(name, _)| *name == "content-type");
    if !typed {
        request = request.header("content-type", "application/octet-stream");
    }
    for (name, value) in upload.headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(upload.body.clone()).send().await;
    Answer::read(answer.expect("the server answers"))
        .await
        .expect("is whole")
}

/// A connection on which the head of an upload has been sent, and some of its body.
fn begun(tenant: &Tenant, framing: &str, body: &[u8]) -> TcpStream {
    let host = tenant.address.trim_start_matches("http://");
    let mut line = TcpStream::connect(host).expect("connects");
    line.set_read_timeout(Some(LIMIT)).expect("is set");
    let path = tenant.path("/models/cut/versions?filename=model.onnx");
    write!(
        line,
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\n\
         content-type: application/octet-stream\r\n{framing}\r\n\r\n",
        tenant.token
    )
    .expect("can be sent");
    line.write_all(body).expect("can be sent");
    line
}

fn heard(mut line: TcpStream) -> String {
    let mut bytes = [0; 4096];
    let count = line.read(&mut bytes).expect("is answered");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// Senders that go away, in all the ways in which HTTP lets them.
async fn assert_what_breaks_off_is_dropped(api: &OneApi, tenant: &Tenant) {
    // The whole graph, so that nothing but its missing end gives it away.
    let good = adder();
    let (declared, chunked) = (
        format!("content-length: {}", good.len() + 10),
        "transfer-encoding: chunked".to_owned(),
    );
    let chunk = [format!("{:x}\r\n", good.len()).as_bytes(), &good, b"\r\n"].concat();
    for (what, framing, body) in [
        ("before the declared length", &declared, &good),
        ("before the last chunk", &chunked, &chunk),
        (
            "in the middle of a chunk",
            &chunked,
            &chunk[..chunk.len() / 2].to_vec(),
        ),
    ] {
        let line = begun(tenant, framing, body);
        wait_until_staged(api, what).await;
        drop(line);
        assert_nothing_is_kept(api, tenant, what).await;

        // Who only stops to send is told.
        let line = begun(tenant, framing, body);
        line.shutdown(Shutdown::Write).expect("is shut");
        let answer = heard(line);
        assert!(
            answer.is_empty() || (answer.starts_with("HTTP/1.1 400") && answer.contains("body_incomplete")),
            "{what}: {answer}"
        );
        assert_nothing_is_kept(api, tenant, what).await;
    }

    let answer = heard(begun(tenant, &declared, &good));
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"),
        "who stands still is told: {answer}"
    );
    assert_nothing_is_kept(api, tenant, "standing still").await;

    // Over HTTP/2, by resetting the stream: the connection goes on.
    let client = Client::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let never_ending = stream::iter([Ok::<_, std::io::Error>(good)]).chain(stream::pending());
    let request = client
        .post(format!(
            "{}{}",
            tenant.address,
            tenant.path("/models/cut/versions?filename=model.onnx")
        ))
        .bearer_auth(&tenant.token)
        .header("content-type", "application/octet-stream")
        .body(Body::wrap_stream(never_ending));
    let sending = tokio::spawn(request.send());
    wait_until_staged(api, "over HTTP/2").await;
    sending.abort();
    assert_nothing_is_kept(api, tenant, "over HTTP/2").await;
    let alive = client.get(format!("{}/healthz", tenant.address)).send().await;
    assert!(alive.expect("the server answers").status().is_success());
}

#[tokio::test]
async fn bad_uploads_get_their_code_and_leave_nothing() {
    let api = OneApi::start_with(&[
        ("BERTH_HTTP__BODY_LIMITS__UPLOAD", UPLOAD_LIMIT),
        ("BERTH_HTTP__UPLOAD_STALL_TIMEOUT", STALL),
        ("BERTH_HTTP__H2C", "true"),
    ])
    .await
    .expect("starts");
    let tenant = Tenant::sign_up(&api.address, "tenant").await.expect("signs up");

    let mut wrong = Vec::new();
    for upload in uploads() {
        let answer = send(&tenant, &upload).await;
        let found = (answer.status.as_u16(), answer.code().unwrap_or_default());
        if found != (upload.status, upload.code) {
            let wanted = (upload.status, upload.code);
            wrong.push(format!(
                "{}: {found:?} instead of {wanted:?}: {}",
                upload.what, answer.text
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_nothing_is_kept(&api, &tenant, "the table").await;

    // More than is taken, of a length that nobody has declared.
    let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 4096])).take(64);
    let endless = http()
        .post(format!(
            "{}{}",
            api.address,
            tenant.path("/models/endless/versions?filename=model.onnx")
        ))
        .bearer_auth(&tenant.token)
        .header("content-type", "application/octet-stream")
        .body(Body::wrap_stream(pieces));
    // The server may hang up on the rest before its answer has been read.
    if let Ok(answer) = endless.send().await {
        let answer = Answer::read(answer).await.expect("is whole");
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (413, Some("body_too_large"))
        );
    }
    assert_nothing_is_kept(&api, &tenant, "without a length").await;

    assert_what_breaks_off_is_dropped(&api, &tenant).await;

    // A name of the file means nothing, whatever it looks like.
    for name in ["%00", "..%2f..%2fetc%2fpasswd", "%ff", "a%0d%0ab"] {
        let made = tenant
            .upload("odd-names", name, adder())
            .await
            .expect("the server answers");
        assert!(made.status.is_success(), "{name}: {}", made.text);
        assert_eq!(made.body["files"][0]["path"], "model.onnx");
    }
    let log = api.process.output();
    assert!(!log.contains("ERROR"), "no fault of the server: {log}");
}
