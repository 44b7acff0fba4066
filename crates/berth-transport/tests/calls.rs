//! Calls over real sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_transport::{Channel, Error, Fault, Location, Peers, Reply, Service, serve};
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(30);

/// Method 1 turns message and body around; method 2 says that it began, waits until it is dropped, and says so.
struct Mirror {
    events: UnboundedSender<&'static str>,
}

struct Dropped(UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send("dropped").expect("the test listens");
    }
}

impl Service for Mirror {
    async fn call(&self, method: u8, message: Bytes, body: Bytes) -> Result<Reply, Fault> {
        match method {
            1 => Ok(Reply {
                message: body,
                body: message,
            }),
            2 => {
                let _dropped = Dropped(self.events.clone());
                self.events.send("begun").expect("the test listens");
                std::future::pending().await
            }
            3 => Err(Fault::Refused),
            _ => Err(Fault::Misunderstood("unknown".to_owned())),
        }
    }
}

struct Server {
    folder: tempfile::TempDir,
    events: UnboundedReceiver<&'static str>,
    draining: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(socket(folder.path())).expect("a socket");
        let (sender, events) = unbounded_channel();
        let draining = CancellationToken::new();
        let service = Arc::new(Mirror { events: sender });
        let task = tokio::spawn(serve(listener, service, draining.clone()));
        Self {
            folder,
            events,
            draining,
            task,
        }
    }

    fn channel(&self) -> Arc<Channel> {
        channel(&socket(self.folder.path()))
    }

    async fn event(&mut self) -> &'static str {
        let event = timeout(LIMIT, self.events.recv()).await;
        event.expect("in time").expect("the server lives")
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("s.sock")
}

fn channel(path: &Path) -> Arc<Channel> {
    Arc::new(Channel::new(Peers::here(), Location::here(path)))
}

async fn mirrored(channel: &Channel, body: &[u8]) -> Result<Reply, Error> {
    let body = Bytes::copy_from_slice(body);
    timeout(LIMIT, channel.call(1, Bytes::from_static(b"m"), body))
        .await
        .expect("in time")
}

/// Begins a call that is not answered.
fn hang(channel: &Arc<Channel>) -> JoinHandle<Result<Reply, Error>> {
    let channel = Arc::clone(channel);
    tokio::spawn(async move { channel.call(2, Bytes::new(), Bytes::new()).await })
}

#[tokio::test]
async fn small_and_large_bodies_come_back() {
    let server = Server::start();
    let channel = server.channel();
    for length in [0, 1, 100, 64 << 10, (64 << 10) + 1, 3 << 20] {
        let body = vec![7; length];
        let reply = mirrored(&channel, &body).await.expect("it answers");
        assert!(reply.message == body && reply.body == "m", "{length}");
    }
}

#[tokio::test]
async fn calls_at_once_get_their_own_answers() {
    let server = Server::start();
    let channel = server.channel();
    let calls = (0u32..500).map(|number| {
        let channel = Arc::clone(&channel);
        tokio::spawn(async move {
            // Some of them large, on connections of their own.
            let length = if number % 50 == 0 { 100_000 } else { 10 };
            let body = number.to_le_bytes().repeat(length);
            let reply = mirrored(&channel, &body).await.expect("it answers");
            assert_eq!(reply.message, body);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("its own answer");
    }
}

#[tokio::test]
async fn call_that_is_not_understood_is_said_so() {
    let server = Server::start();
    let error = server.channel().call(9, Bytes::new(), Bytes::new()).await;
    assert!(matches!(error, Err(Error::Protocol(reason)) if reason == "unknown"));
}

#[tokio::test]
async fn call_that_is_refused_may_be_sent_elsewhere() {
    let server = Server::start();
    let channel = server.channel();
    let error = channel.call(3, Bytes::new(), Bytes::new()).await;
    assert!(matches!(error, Err(Error::Unreachable(_))), "{error:?}");
    mirrored(&channel, b"x").await.expect("the connection stays");
}

#[tokio::test]
async fn call_that_is_taken_back_ends_in_the_server() {
    let mut server = Server::start();
    let channel = server.channel();
    let call = hang(&channel);
    assert_eq!(server.event().await, "begun");
    call.abort();
    assert_eq!(server.event().await, "dropped");
    mirrored(&channel, b"x").await.expect("others are not disturbed");
}

#[tokio::test]
async fn calls_of_a_caller_that_is_gone_end_in_the_server() {
    let mut server = Server::start();
    let path = socket(server.folder.path());
    let stream = tokio::net::UnixStream::connect(&path).await.expect("connects");
    // A call of method 2, byte by byte.
    let frame = [0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 2, 0, 0];
    stream.writable().await.expect("writable");
    assert_eq!(stream.try_write(&frame).expect("is written"), frame.len());
    assert_eq!(server.event().await, "begun");
    drop(stream);
    assert_eq!(server.event().await, "dropped");
}

#[tokio::test]
async fn server_that_dies_loses_its_calls_and_is_found_again() {
    let mut server = Server::start();
    let channel = server.channel();
    let call = hang(&channel);
    assert_eq!(server.event().await, "begun");
    server.task.abort();
    let lost = call.await.expect("no panic");
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
    let refused = mirrored(&channel, b"x").await;
    assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
    let path = socket(server.folder.path());
    std::fs::remove_file(&path).expect("it is left over");
    let (events, _events) = unbounded_channel();
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(serve(
        listener,
        Arc::new(Mirror { events }),
        CancellationToken::new(),
    ));
    mirrored(&channel, b"x").await.expect("it is connected anew");
}

#[tokio::test]
async fn draining_server_finishes_what_runs_and_refuses_the_rest() {
    let mut server = Server::start();
    let channel = server.channel();
    let running = hang(&channel);
    assert_eq!(server.event().await, "begun");
    server.draining.cancel();
    let refused = berth_refused(&channel).await;
    assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
    assert!(!server.task.is_finished());
    running.abort();
    assert_eq!(server.event().await, "dropped");
    timeout(LIMIT, server.task)
        .await
        .expect("it ends")
        .expect("no panic");
}

/// Calls until it is refused: the first ones may come before the server has noticed that it drains.
async fn berth_refused(channel: &Channel) -> Error {
    loop {
        if let Err(error) = mirrored(channel, b"x").await {
            return error;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_says_nothing_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = UnixListener::bind(socket(folder.path())).expect("a socket");
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("connects");
        // Reads and never answers.
        let mut sink = Vec::new();
        stream.read_to_end(&mut sink).await.expect("it is closed");
        sink
    });
    let channel = channel(&socket(folder.path()));
    let lost = channel.call(1, Bytes::new(), Bytes::new()).await;
    assert!(matches!(lost, Err(Error::Lost(_))), "{lost:?}");
    let heard = silent.await.expect("no panic");
    assert!(
        heard.chunks(16).any(|frame| frame[12] == 8),
        "it was asked: {heard:?}"
    );
}
