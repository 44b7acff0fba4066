//! TLS on the listener, HTTP/2, and certificates that change.

use std::path::Path;
use std::time::Duration;

use berth_api::options::Tls;
use berth_test_support::wait_until;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, LIMIT};

/// Writes a new certificate for `localhost` and gives what trusts it.
fn renew(folder: &Path) -> Certificate {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("tls.key"), signing_key.serialize_pem()).expect("writes");
    std::fs::write(folder.join("tls.crt"), cert.pem()).expect("writes");
    Certificate::from_pem(cert.pem().as_bytes()).expect("a certificate")
}

fn client(trusted: Certificate) -> Client {
    Client::builder()
        .tls_certs_only([trusted])
        // A pooled connection would keep the certificate that it began with.
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client")
}

#[tokio::test]
async fn tls_speaks_http_2_and_follows_its_certificate() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = renew(folder.path());
    let house = House::with(|options| {
        options.tls = Some(Tls {
            certificate_file: folder.path().join("tls.crt"),
            key_file: folder.path().join("tls.key"),
        });
    })
    .await;
    let url = format!("{}/healthz", house.base.replace("127.0.0.1", "localhost"));
    assert!(url.starts_with("https://"));
    let answer = client(first.clone()).get(&url).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );

    let second = client(renew(folder.path()));
    let renewed = async || second.get(&url).send().await.is_ok();
    wait_until(Duration::from_secs(30), renewed)
        .await
        .expect("the new certificate is shown");
    assert!(
        client(first).get(&url).send().await.is_err(),
        "the old one is no longer shown"
    );

    // What cannot be used is not: the server goes on with what it has.
    std::fs::write(folder.path().join("tls.crt"), "nonsense").expect("writes");
    assert!(renewed().await);
}

#[tokio::test]
async fn plain_listener_speaks_http_2_where_it_is_set() {
    let house = House::with(|options| options.h2c = true).await;
    let client = Client::builder()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let answer = client
        .get(format!("{}/healthz", house.base))
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), answer.version()),
        (200, Version::HTTP_2)
    );
}

#[tokio::test]
async fn connection_that_sends_no_request_is_closed() {
    let house = House::with(|options| options.head_timeout = Duration::from_millis(300)).await;
    let address = house.base.trim_start_matches("http://");
    for sent in ["", "G", "PRI * HTTP/2"] {
        let mut silent = TcpStream::connect(address).await.expect("connects");
        silent.write_all(sent.as_bytes()).await.expect("sends");
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(LIMIT, silent.read_to_end(&mut answer)).await;
        closed.expect("is closed in time").expect("can be read");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{sent}: {answer}"
        );
    }
}
