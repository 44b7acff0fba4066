//! The server's end: answers calls on every connection, many at a time.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_protocol::PROTOCOL_VERSION;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::Reply;
use crate::frame::{Frame, Kind, Reader, write_all};

/// How long a client has to close a connection on which nothing is left to do.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be taken: most often because no file numbers are left.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not understood, for this reason.
    Misunderstood(String),
    /// It was not begun and will not be: another may be asked.
    Refused,
}

/// Answers calls.
pub trait Service: Send + Sync + 'static {
    /// The answer to a call. Dropped when the caller takes the call back or is gone.
    fn call(
        &self,
        method: u8,
        message: Bytes,
        body: Bytes,
    ) -> impl Future<Output = Result<Reply, Fault>> + Send;
}

/// Answers calls on every connection to `listener` until `draining`; then refuses new ones, and returns when those that it has are
/// finished. Dropping the future ends them.
pub async fn serve(listener: UnixListener, service: Arc<impl Service>, draining: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = draining.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (reading, writing) = stream.into_split();
                    let (service, draining) = (Arc::clone(&service), draining.clone());
                    connections.spawn(async move {
                        if let Err(error) = converse(reading, writing, service, draining).await {
                            tracing::debug!(%error, "a connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The calls of one connection that run.
#[derive(Debug)]
struct Running {
    tasks: Mutex<HashMap<u32, AbortHandle>>,
    count: watch::Sender<usize>,
}

impl Running {
    fn tasks(&self) -> MutexGuard<'_, HashMap<u32, AbortHandle>> {
        // Each change is one call of the map; a panic elsewhere does not spoil it.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, call: u32) -> Option<AbortHandle> {
        let mut tasks = self.tasks();
        let task = tasks.remove(&call);
        self.count.send_if_modified(|count| {
            let changed = *count != tasks.len();
            *count = tasks.len();
            changed
        });
        task
    }
}

/// Ends what runs when its connection is gone.
struct EndAll(Arc<Running>);

impl Drop for EndAll {
    fn drop(&mut self) {
        for (_, task) in self.0.tasks().drain() {
            task.abort();
        }
    }
}

async fn converse(
    reading: impl AsyncRead + Unpin,
    writing: impl AsyncWrite + Unpin,
    service: Arc<impl Service>,
    draining: CancellationToken,
) -> io::Result<()> {
    let (out, mut frames) = unbounded_channel();
    let running = Arc::new(Running {
        tasks: Mutex::default(),
        count: watch::Sender::new(0),
    });
    let _end_all = EndAll(Arc::clone(&running));
    send(&out, Frame::bare(Kind::Hello, PROTOCOL_VERSION));
    let farewell = async {
        draining.cancelled().await;
        send(&out, Frame::bare(Kind::GoAway, 0));
        let mut count = running.count.subscribe();
        // The sender lives as long as this connection.
        let _ = count.wait_for(|count| *count == 0).await;
    };
    let mut reader = Reader::new(reading);
    let hear = async {
        while let Some(frame) = reader.next().await? {
            match frame.kind {
                Kind::Call if draining.is_cancelled() => send(&out, Frame::bare(Kind::Refused, frame.call)),
                Kind::Call => begin(&service, &running, &out, frame),
                Kind::Cancel => {
                    if let Some(task) = running.take(frame.call) {
                        task.abort();
                    }
                }
                Kind::Ping => send(&out, Frame::bare(Kind::Pong, 0)),
                // Answers come only from servers.
                Kind::Hello | Kind::Reply | Kind::Failed | Kind::Refused | Kind::GoAway | Kind::Pong => {}
            }
        }
        io::Result::Ok(())
    };
    let hear_until_farewell = async {
        tokio::pin!(hear);
        tokio::select! {
            heard = &mut hear => return heard,
            () = farewell => {}
        }
        // What the client had sent before it heard that it should go is refused, not lost.
        timeout(FAREWELL, hear).await.unwrap_or(Ok(()))
    };
    let writing = write_all(&mut frames, writing);
    tokio::pin!(writing);
    tokio::select! {
        heard = hear_until_farewell => heard?,
        written = &mut writing => return written,
    }
    // What was answered last has to arrive.
    drop(out);
    timeout(FAREWELL, writing).await.unwrap_or(Ok(()))
}

fn begin(service: &Arc<impl Service>, running: &Arc<Running>, out: &UnboundedSender<Frame>, frame: Frame) {
    let call = frame.call;
    let (service, owner, out) = (Arc::clone(service), Arc::clone(running), out.clone());
    // Held until the task is known: it must not end before.
    let mut tasks = running.tasks();
    let task = tokio::spawn(async move {
        let answer = service.call(frame.method, frame.message, frame.body).await;
        let (kind, message, body) = match answer {
            Ok(reply) => (Kind::Reply, reply.message, reply.body),
            Err(Fault::Misunderstood(reason)) => (Kind::Failed, Bytes::from(reason), Bytes::new()),
            Err(Fault::Refused) => (Kind::Refused, Bytes::new(), Bytes::new()),
        };
        send(
            &out,
            Frame {
                kind,
                method: frame.method,
                call,
                message,
                body,
            },
        );
        owner.take(call);
    });
    tasks.insert(call, task.abort_handle());
    running.count.send_replace(tasks.len());
}

/// Gives a frame to whoever writes; nobody does when the connection is gone.
fn send(out: &UnboundedSender<Frame>, frame: Frame) {
    let _ = out.send(frame);
}
