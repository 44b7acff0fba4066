//! Compression: of large answers for those who take it, and never of requests.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use reqwest::{Response, StatusCode};

use crate::installation::OneApi;
use crate::memory::{forget_peak, peak_bytes};
use crate::tenant::{Answer, Tenant, http};

fn header(answer: &Response, name: reqwest::header::HeaderName) -> &str {
    let value = answer.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn large_answers_are_packed_for_those_who_take_gzip() {
    let api = OneApi::start_with(&[]).await.expect("starts");
    let get = async |path: &str, accepted: Option<&str>| {
        let mut request = http().get(format!("{}{path}", api.address));
        if let Some(accepted) = accepted {
            request = request.header(ACCEPT_ENCODING, accepted);
        }
        let answer = request.send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::OK);
        answer
    };
    let plain = get("/openapi.json", None).await;
    assert_eq!(header(&plain, CONTENT_ENCODING), "");
    assert!(
        header(&plain, VARY).contains("accept-encoding"),
        "caches are told that there is another form"
    );
    let plain = plain.bytes().await.expect("is whole");
    assert!(plain.len() > 64 << 10, "{} bytes", plain.len());

    for accepted in ["gzip", "br;q=1, gzip;q=0.5", "deflate, GZIP"] {
        let packed = get("/openapi.json", Some(accepted)).await;
        assert_eq!(header(&packed, CONTENT_ENCODING), "gzip", "{accepted}");
        assert!(header(&packed, VARY).contains("accept-encoding"));
        let packed = packed.bytes().await.expect("is whole");
        assert!(packed.len() < plain.len() / 3, "{} bytes", packed.len());
        let mut unpacked = Vec::new();
        GzDecoder::new(&packed[..])
            .read_to_end(&mut unpacked)
            .expect("unpacks");
        assert!(unpacked == plain, "{accepted}");
    }
    for accepted in ["br", "gzip;q=0", "identity", "zstd, deflate", ""] {
        let answer = get("/openapi.json", Some(accepted)).await;
        assert_eq!(header(&answer, CONTENT_ENCODING), "", "{accepted}");
        assert!(answer.bytes().await.expect("is whole") == plain, "{accepted}");
    }
    let small = get("/healthz", Some("gzip")).await;
    assert_eq!(
        header(&small, CONTENT_ENCODING),
        "",
        "it would cost more than it saves"
    );
}

/// A quarter of a gigabyte of zeros in some 300 kB: one packed megabyte again and again, which is one packed file.
fn bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 1 << 20]).expect("packs");
    packed.finish().expect("packs").repeat(256)
}

#[tokio::test]
async fn packed_requests_are_refused_unopened() {
    let api = OneApi::start_with(&[]).await.expect("starts");
    let tenant = Tenant::sign_up(&api.address, "tenant").await.expect("signs up");
    let key = tenant.make_key().await.expect("makes a key");
    let bomb = bomb();
    assert!(bomb.len() < 512 << 10, "{} bytes", bomb.len());
    let pid = api.process.pid();
    forget_peak(pid).expect("is forgotten");
    let before = peak_bytes(pid).expect("is told");

    let upload = tenant.path("/models/packed/versions?filename=model.onnx");
    let (json, raw) = ("application/json", "application/octet-stream");
    for (path, credential, kind) in [
        ("/v1/embeddings", &key.text, json),
        ("/v2/models/m/infer", &key.text, json),
        ("/api/v1/organizations", &tenant.token, json),
        (upload.as_str(), &tenant.token, raw),
    ] {
        for (coding, body) in [
            ("gzip", bomb.clone()),
            ("gzip, gzip", bomb.clone()),
            ("identity, gzip", bomb.clone()),
            ("br", b"{}".to_vec()),
            ("deflate", b"{}".to_vec()),
            ("zstd", b"{}".to_vec()),
            ("x-unheard-of", b"{}".to_vec()),
        ] {
            let request = http()
                .post(format!("{}{path}", api.address))
                .bearer_auth(credential)
                .header("accept", "application/problem+json")
                .header(CONTENT_TYPE, kind)
                .header(CONTENT_ENCODING, coding);
            let answer = request.body(body).send().await.expect("the server answers");
            let answer = Answer::read(answer).await.expect("is whole");
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (415, Some("content_encoding_unsupported")),
                "{path} {coding}: {}",
                answer.text
            );
        }
    }
    let grown = peak_bytes(pid).expect("is told").saturating_sub(before);
    assert!(grown < 32 << 20, "nothing was unpacked: {grown} bytes more");
}
