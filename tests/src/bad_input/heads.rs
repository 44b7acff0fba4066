//! Heads of requests that are odd, or no HTTP at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use berth_test_support::wait_until;
use serde_json::json;

use crate::installation::{LIMIT, OneApi};
use crate::tenant::Tenant;

/// What a server says to bytes on a fresh connection: one answer, or all until it hangs up.
fn say(address: &str, bytes: &[u8]) -> String {
    let host = address.trim_start_matches("http://");
    let mut line = TcpStream::connect(host).expect("connects");
    line.set_read_timeout(Some(LIMIT)).expect("is set");
    // The server may refuse, and hang up, before it has heard everything.
    let _ = line.write_all(bytes);
    let (mut heard, mut chunk) = (Vec::new(), [0; 16 << 10]);
    loop {
        // An end by reset is an end too.
        let count = line.read(&mut chunk).unwrap_or(0);
        heard.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&heard).into_owned();
        if count == 0 || is_whole(&text) {
            return text;
        }
    }
}

/// Whether an answer has all of the body that it declares.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    status.and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Heads with the status that they get. `AUTH` stands for the header with a good key.
fn heads() -> Vec<(String, u16)> {
    const GET: &str = "GET /v1/models HTTP/1.1\r\nhost: x\r\nAUTH";
    const POST: &str = "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nAUTHcontent-type: application/json\r\n";
    let body = json!({ "model": "none", "input": "x" }).to_string();
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let get = |lines: &str| format!("{GET}{lines}\r\n");
    let post = |lines: String, body: &str| format!("{POST}{lines}\r\n\r\n{body}");
    let path = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nAUTH\r\n");
    let mut heads = vec![
        (get("connection: close\r\n"), 200),
        (get(&format!("x: {}\r\n", "a".repeat(60_000))), 200),
        (get(&format!("x: {}\r\n", "a".repeat(200_000))), 431),
        (get(&"x: a\r\n".repeat(200)), 431),
        (get("x: a\0b\r\n"), 400),
        (get("x y: a\r\n"), 400),
        (get("host: y\r\n"), 400),
        (get("expect: tea\r\n"), 200),
        ("GET /v1/models HTTP/1.1\r\nAUTH\r\n".to_owned(), 400),
        ("GET /v1/models HTTP/3.0\r\nhost: x\r\nAUTH\r\n".to_owned(), 400),
        ("GET /v1/models\r\n\r\n".to_owned(), 400),
        ("hello there\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\0\0".to_owned(), 400),
        ("BREW /v1/models HTTP/1.1\r\nhost: x\r\nAUTH\r\n".to_owned(), 405),
        ("TRACE /v1/models HTTP/1.1\r\nhost: x\r\nAUTH\r\n".to_owned(), 405),
        (
            "CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\nAUTH\r\n".to_owned(),
            404,
        ),
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nAUTH\r\n".to_owned(), 404),
        (
            post(format!("content-length: {length}\r\nconnection: close"), &body),
            404,
        ),
        (post("content-length: -5".to_owned(), &body), 400),
        (post("content-length: +5".to_owned(), &body), 400),
        (post("content-length: many".to_owned(), &body), 400),
        (
            post("content-length: 99999999999999999999999".to_owned(), &body),
            400,
        ),
        (
            post("content-length: 18446744073709551615".to_owned(), &body),
            413,
        ),
        (
            post(format!("content-length: {length}\r\ncontent-length: 3"), &body),
            400,
        ),
        (post(format!("content-length: {length}, {length}"), &body), 400),
        (post(format!("content-length: {}", length + 10), &body), 408),
        (
            post(
                "transfer-encoding: chunked\r\nconnection: close".to_owned(),
                &chunked,
            ),
            404,
        ),
        // One of the two would be believed by whoever stands in between.
        (
            post(
                "content-length: 3\r\ntransfer-encoding: chunked".to_owned(),
                &chunked,
            ),
            400,
        ),
        (
            post(
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked".to_owned(),
                &chunked,
            ),
            400,
        ),
        (post("transfer-encoding: gzip, chunked".to_owned(), &chunked), 400),
        (post("transfer-encoding: nonsense".to_owned(), &chunked), 400),
        (
            post("transfer-encoding: chunked".to_owned(), "zz\r\nx\r\n0\r\n\r\n"),
            400,
        ),
        (
            post(
                "transfer-encoding: chunked".to_owned(),
                "ffffffffffffffffff\r\nx\r\n",
            ),
            400,
        ),
        (
            post(
                "transfer-encoding: chunked".to_owned(),
                &format!("{length:x}\r\n{body}\r\n"),
            ),
            408,
        ),
        (path("/v1/mod els"), 400),
        (path("/v1/\u{ff}"), 400),
        (path(&format!("/v1/models/{}", "a".repeat(70_000))), 400),
    ];
    for name in [
        "%00",
        "a%00b",
        "%ff",
        "%",
        "%zz",
        "..",
        "%2e%2e",
        "a%2fb",
        "%F0%9F%98%80",
        "%0d%0a",
    ] {
        for place in [
            format!("/v1/models/{name}"),
            format!("/v2/models/{name}"),
            format!("/v2/models/{name}/ready"),
            format!("/v2/models/m/versions/{name}"),
            format!("/api/v1/organizations/{name}"),
            format!("/errors/{name}"),
            format!("/docs/{name}"),
            format!("/{name}"),
        ] {
            heads.push((path(&place), 404));
        }
    }
    for number in ["-1", "0", "1e3", "4294967296", "18446744073709551616"] {
        heads.push((path(&format!("/v2/models/m/versions/{number}")), 404));
    }
    heads
}

#[tokio::test]
async fn odd_heads_are_refused_and_the_server_lives() {
    // Who stands still is told soon.
    let api = OneApi::start_with(&[("BERTH_HTTP__BODY_TIMEOUT", "1s")])
        .await
        .expect("starts");
    let tenant = Tenant::sign_up(&api.address, "tenant").await.expect("signs up");
    let key = tenant.make_key().await.expect("makes a key");
    let authorization = format!("authorization: Bearer {}\r\n", key.text);

    let mut wrong = Vec::new();
    for (head, wanted) in heads() {
        let bytes = head.replacen("AUTH", &authorization, 1);
        let answer = say(&api.address, bytes.as_bytes());
        let found = status(&answer);
        if found != wanted {
            wrong.push(format!(
                "{:.120}: {found} instead of {wanted}: {answer:.300}",
                head.escape_debug()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Answers that never became requests of the framework have no id; the others have.
    let answer = say(&api.address, b"GET /no-such HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.contains("x-request-id: req_"), "{answer}");
    let alive = || async {
        tenant
            .get("/healthz")
            .await
            .is_ok_and(|answer| answer.status.is_success())
    };
    wait_until(LIMIT, alive).await.expect("the server lives");
    let log = api.process.output();
    assert!(!log.contains("ERROR"), "no fault of the server: {log}");
}
