//! Signs of life and metrics over HTTP, for processes that serve no API: `/healthz`, `/readyz`, `/metrics`.
//!
//! The listener answers whoever reaches it, without asking who that is: what it says names no tenant, and it is meant for
//! an address that only monitoring and the machine's supervisor reach. Each connection carries one request and is short.

mod answer;
mod part;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::answer::Answers;
pub use self::part::Part;
use crate::metrics::Rendering;

/// Connections at the same time; further ones wait in the system's queue.
const CONNECTIONS: usize = 32;

/// How long one connection may last: the head of a request, the checks, and reading the answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// The wait after the system refused a connection, mostly because descriptors have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[error("could not listen on {address} for health and metrics")]
pub struct Error {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A listener that takes connections, and answers once it runs.
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
    answers: Arc<Answers>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Probes")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Probes {
    /// Listens on `listen`. `/readyz` asks `parts`; `/metrics` shows what was recorded in this process.
    pub async fn bind(listen: SocketAddr, metrics: Rendering, parts: Vec<Part>) -> Result<Self, Error> {
        let failed = |source| Error {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            answers: Arc::new(Answers::new(metrics, parts)),
        })
    }

    /// The address that is listened on, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` is done; connections that are open then are cut.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let permit = Arc::clone(&room).acquire_owned().await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let answers = Arc::clone(&self.answers);
                    connections.spawn(async move {
                        let _permit = permit;
                        answer(stream, answers).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection for health or metrics was not taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn answer(stream: TcpStream, answers: Arc<Answers>) {
    let service = service_fn(|request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.to(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_LIMIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for health or metrics broke"),
        Err(_) => tracing::debug!("a connection for health or metrics took too long"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;
    use crate::metrics;

    /// A listener whose one part is there as long as told.
    async fn listener(part: Part) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let probes = Probes::bind(
            loopback,
            metrics::detached().expect("the bounds are good"),
            vec![part],
        )
        .await
        .expect("listens");
        let address = probes.address();
        let (end, ended) = oneshot::channel::<()>();
        let running = tokio::spawn(probes.run(async {
            let _ = ended.await;
        }));
        (address, end, running)
    }

    /// Sends `text` and reads until the other side closes.
    async fn send(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(text.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        send(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
    }

    fn json_of(answer: &str) -> Value {
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).expect("JSON")
    }

    fn present() -> Part {
        Part::new("database", || async { Ok::<(), io::Error>(()) })
    }

    #[tokio::test]
    async fn life_readiness_and_metrics_are_told() {
        let (address, _end, _running) = listener(present()).await;
        let alive = get(address, "/healthz").await;
        assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
        assert_eq!(json_of(&alive), json!({ "status": "ok" }));
        let ready = get(address, "/readyz?verbose").await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        assert_eq!(
            json_of(&ready),
            json!({ "ready": true, "parts": [{ "name": "database", "ready": true }] })
        );
        let metrics = get(address, "/metrics").await;
        assert!(
            metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            "{metrics}"
        );
    }

    #[tokio::test]
    async fn absent_part_is_named() {
        let absent = Part::new("queue", || async { Err(io::Error::other("gone")) });
        let (address, _end, _running) = listener(absent).await;
        let ready = get(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
        assert_eq!(
            json_of(&ready),
            json!({ "ready": false, "parts": [{ "name": "queue", "ready": false }] })
        );
        assert!(
            get(address, "/healthz").await.starts_with("HTTP/1.1 200"),
            "the process lives"
        );
    }

    #[tokio::test]
    async fn part_that_does_not_answer_is_absent() {
        let deaf = Part::new("database", std::future::pending::<Result<(), io::Error>>);
        let (address, _end, _running) = listener(deaf).await;
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let (address, _end, _running) = listener(present()).await;
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
        let posted = send(
            address,
            "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(
            posted.starts_with("HTTP/1.1 405") && posted.contains("allow: GET, HEAD\r\n"),
            "{posted}"
        );
        assert!(
            send(address, "nonsense\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400"),
            "no HTTP"
        );
        let head = send(address, "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(
            head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
    }

    #[tokio::test]
    async fn listener_ends_when_told_although_a_connection_is_open() {
        let (address, end, running) = listener(present()).await;
        let _silent = TcpStream::connect(address).await.expect("connects");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        drop(end);
        running.await.expect("ends");
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens");
    }

    #[tokio::test]
    async fn address_in_use_is_told() {
        let (address, _end, _running) = listener(present()).await;
        let error = Probes::bind(
            address,
            metrics::detached().expect("the bounds are good"),
            Vec::new(),
        )
        .await
        .expect_err("is in use");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
