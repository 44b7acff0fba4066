//! Many connections on one thread: as many requests as are answered, or so many a second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use super::workload::{Form, Workload};
use crate::statistics::quantile;

/// Where requests go, and the bytes of one.
pub(crate) struct Target {
    address: String,
    request: Rc<[u8]>,
}

impl Target {
    /// Berth's `POST /v2/models/{name}/infer`.
    pub(crate) fn berth(address: &str, key: &str, workload: &Workload, form: Form) -> Self {
        let path = format!("/v2/models/{}/infer", workload.name);
        Self::new(
            address,
            &path,
            &format!("Authorization: Bearer {key}\r\n"),
            workload,
            form,
        )
    }

    /// The reference server.
    pub(crate) fn reference(address: &str, workload: &Workload, form: Form) -> Self {
        Self::new(address, "/infer", "", workload, form)
    }

    fn new(address: &str, path: &str, headers: &str, workload: &Workload, form: Form) -> Self {
        let body = workload.body(form);
        let (media_type, json_length) = match body.json_length {
            None => ("application/json", String::new()),
            Some(length) => (
                "application/octet-stream",
                format!("Inference-Header-Content-Length: {length}\r\n"),
            ),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}{json_length}Content-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n",
            body.bytes.len()
        );
        Self {
            address: address.to_owned(),
            request: [head.into_bytes(), body.bytes].concat().into(),
        }
    }
}

/// What came of a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) answers: usize,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Outcome {
    /// Answers a second.
    #[expect(clippy::cast_precision_loss, reason = "a count of answers")]
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.seconds
    }
}

/// Each of `connections` sends its next request when it has the answer to the last one. Any answer but 200 is an error.
pub(crate) fn closed(target: &Target, connections: usize, length: Duration) -> Result<Outcome> {
    drive(target, connections, length, |_, _| None)
}

/// `rate` requests a second over `connections`, each at its time however late the answers are; latency counts from that time.
pub(crate) fn open(target: &Target, connections: usize, rate: u32, length: Duration) -> Result<Outcome> {
    let gap = Duration::from_secs(1) / rate;
    let width = u32::try_from(connections)?;
    drive(target, connections, length, move |connection, request| {
        let index = request.saturating_mul(width) + connection;
        Some(gap.saturating_mul(index))
    })
}

/// `due` says when the nth request of a connection is to be sent, counted from the beginning; `None` is at once.
fn drive(
    target: &Target,
    connections: usize,
    length: Duration,
    due: impl Fn(u32, u32) -> Option<Duration> + Copy + 'static,
) -> Result<Outcome> {
    let samples = Rc::new(RefCell::new(Vec::new()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let begun = LocalSet::new().block_on(&runtime, async {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(&target.address).await?);
        }
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, mut connection) in (0u32..).zip(open) {
            let (request, samples) = (Rc::clone(&target.request), Rc::clone(&samples));
            tasks.spawn_local(async move {
                for index in 0.. {
                    let start = match due(number, index) {
                        None => Instant::now(),
                        Some(due) => {
                            let start = begin + due;
                            tokio::time::sleep_until(start.into()).await;
                            start
                        }
                    };
                    if start.duration_since(begin) >= length {
                        break;
                    }
                    connection.ask(&request).await?;
                    samples.borrow_mut().push(start.elapsed().as_secs_f64() * 1000.0);
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a connection's task failed")??;
        }
        anyhow::Ok(begin)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut samples = samples.borrow_mut();
    Ok(Outcome {
        answers: samples.len(),
        seconds,
        p50_ms: quantile(&mut samples, 0.5),
        p99_ms: quantile(&mut samples, 0.99),
    })
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 << 10),
        })
    }

    async fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if whole.is_none() {
                whole = whole_length(&self.buffer)?;
            }
        }
        if !self.buffer.starts_with(b"HTTP/1.1 200 ") {
            bail!("the answer was {}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(())
    }
}

/// The length of head and body, once the head is there.
fn whole_length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end]).context("reading the answer's head")?;
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let length: usize = length.context("the answer has no Content-Length")?.parse()?;
    Ok(Some(end + 4 + length))
}
