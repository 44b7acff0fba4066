//! TLS on the public listener: both versions of HTTP, certificates that change, callers that speak no TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use berth_test_support::wait_until;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, StatusCode, Version};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::installation::{LIMIT, OneApi};
use crate::tenant::{Tenant, http};

/// The files of a certificate.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Writes a new certificate with its key, and gives what trusts it.
    fn renew(&self) -> Certificate {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate");
        fs::write(self.path("tls.key"), signing_key.serialize_pem()).expect("writes");
        fs::write(self.path("tls.crt"), cert.pem()).expect("writes");
        Certificate::from_pem(cert.pem().as_bytes()).expect("a certificate")
    }

    async fn serve(&self) -> OneApi {
        OneApi::start_with(&[
            ("BERTH_HTTP__TLS__CERTIFICATE_FILE", &self.path("tls.crt")),
            ("BERTH_HTTP__TLS__KEY_FILE", &self.path("tls.key")),
        ])
        .await
        .expect("starts")
    }
}

/// A client that trusts one certificate and keeps no connection.
fn client(trusted: &Certificate) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .tls_certs_only([trusted.clone()])
        .pool_max_idle_per_host(0)
        .build()
        .expect("a client")
}

/// A client that trusts one certificate, keeps its connection, and speaks one version.
fn lasting(trusted: &Certificate, version: Version) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().tls_certs_only([trusted.clone()]);
    let builder = if version == Version::HTTP_11 {
        builder.http1_only()
    } else {
        builder
    };
    builder.build().expect("a client")
}

/// Asks the server to look at the files now.
fn read_again(api: &OneApi) {
    let pid = Pid::from_raw(api.process.pid().cast_signed()).expect("a process");
    kill_process(pid, Signal::HUP).expect("is there");
}

#[tokio::test]
async fn tenant_works_over_tls_with_either_version_of_http() {
    let files = Files::new();
    let trusted = files.renew();
    let api = files.serve().await;
    assert!(api.address.starts_with("https://127.0.0.1:"), "{}", api.address);
    for (name, version) in [("old", Version::HTTP_11), ("new", Version::HTTP_2)] {
        let client = lasting(&trusted, version);
        let tenant = Tenant::sign_up_by(client.clone(), &api.address, name)
            .await
            .expect("signs up");
        let key = tenant.make_key().await.expect("makes a key");
        let url = format!("{}/v1/models", api.address);
        let answer = client.get(url).bearer_auth(key.text).send().await;
        let answer = answer.expect("the server answers");
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
    }
    let stranger = http().get(format!("{}/healthz", api.address)).send().await;
    assert!(stranger.is_err(), "nobody trusts a certificate of its own");
}

#[tokio::test]
async fn certificate_is_replaced_while_the_server_runs() {
    const REFUSED: &str = "new certificate cannot be used, the old one stays";
    let files = Files::new();
    let first = files.renew();
    let mut api = files.serve().await;
    let url = format!("{}/healthz", api.address);
    let shown = async |trusted: &Certificate| client(trusted).get(&url).send().await.is_ok();
    let open = lasting(&first, Version::HTTP_2);
    open.get(&url).send().await.expect("the server answers");
    assert!(shown(&first).await);

    let second = files.renew();
    wait_until(LIMIT, || shown(&second))
        .await
        .expect("new connections get the new certificate");
    assert!(!shown(&first).await, "and no longer the old one");
    open.get(&url).send().await.expect("what was open goes on");

    fs::write(files.path("tls.crt"), "nonsense").expect("writes");
    read_again(&api);
    let line = api
        .process
        .wait_for_line(LIMIT, |line| line.contains(REFUSED).then(|| line.to_owned()))
        .await
        .expect("the log says so");
    assert!(
        line.contains("tls.crt") && line.contains("ERROR"),
        "what is wrong, and with which file: {line}"
    );
    assert!(shown(&second).await, "the old one stays");

    let third = files.renew();
    read_again(&api);
    wait_until(LIMIT, || shown(&third))
        .await
        .expect("a good one is taken again");
    assert!(!shown(&second).await);
}

#[tokio::test]
async fn callers_without_tls_are_turned_away_and_hold_nobody_up() {
    let files = Files::new();
    let trusted = files.renew();
    let api = files.serve().await;
    let host = api.address.trim_start_matches("https://");
    // They connect and say nothing.
    let silent: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(host).expect("connects"))
        .collect();
    for said in [
        &b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff\x01",
        &[0; 4096],
    ] {
        let mut line = TcpStream::connect(host).expect("connects");
        line.set_read_timeout(Some(LIMIT)).expect("is set");
        line.write_all(said).expect("can be sent");
        let mut heard = Vec::new();
        // An end by reset is an end too.
        let ended = line.read_to_end(&mut heard);
        assert!(
            ended.map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |_| true),
            "the server hangs up"
        );
        assert!(!heard.starts_with(b"HTTP"), "nothing is answered in the clear");
        assert!(heard.len() < 16, "at most that TLS failed: {heard:?}");
    }
    let plain = http().get(format!("http://{host}/healthz")).send().await;
    assert!(plain.is_err(), "{plain:?}");
    let answer = client(&trusted).get(format!("{}/healthz", api.address)).send();
    assert_eq!(answer.await.expect("others are served").status(), StatusCode::OK);
    drop(silent);
    let log = api.process.output();
    assert!(!log.contains("ERROR"), "no fault of the server: {log}");
}
