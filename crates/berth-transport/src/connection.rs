//! The caller's end of one connection.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_protocol::PROTOCOL_VERSION;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::error::Error;
use crate::frame::{Frame, Kind, Reader, write_all};

/// A server from which nothing has come for so long is asked whether it is there, and given up as long after.
const SILENCE: Duration = Duration::from_secs(2);

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// A message of the protocol.
    pub message: Bytes,
    /// The bytes behind it.
    pub body: Bytes,
}

/// One connection with many calls on it. Clones are the same connection; it is closed with the last one.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    out: UnboundedSender<Frame>,
    calls: Arc<Calls>,
}

type Answer = oneshot::Sender<Result<Reply, Error>>;

/// What the calls and the task that moves the frames share.
#[derive(Debug, Default)]
struct Calls {
    waiting: Mutex<HashMap<u32, Answer>>,
    next: AtomicU32,
    /// Nothing new can go over the connection.
    closed: AtomicBool,
    /// How many frames have come.
    heard: AtomicU64,
    /// A call began where none was.
    busy: Notify,
}

impl Calls {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, Answer>> {
        // Each change is one call of the map; a panic elsewhere does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Starts the task that moves frames over `reading` and `writing`. Has to be called inside a runtime.
    pub(crate) fn start(
        reading: impl AsyncRead + Unpin + Send + 'static,
        writing: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Self {
        let (out, frames) = unbounded_channel();
        let calls = Arc::new(Calls::default());
        // The receiver is here, so sending cannot fail.
        let _ = out.send(Frame::bare(Kind::Hello, PROTOCOL_VERSION));
        tokio::spawn(drive(
            Arc::clone(&calls),
            frames,
            reading,
            writing,
            out.downgrade(),
        ));
        Self(Arc::new(Shared { out, calls }))
    }

    /// Whether a call can still be made on it.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.calls.closed.load(Ordering::Relaxed)
    }

    /// Makes a call. Dropping the future tells the server that the answer is no longer wanted.
    pub(crate) async fn call(&self, method: u8, message: Bytes, body: Bytes) -> Result<Reply, Error> {
        let Shared { out, calls } = &*self.0;
        let (answer, answered) = oneshot::channel();
        let call = calls.next.fetch_add(1, Ordering::Relaxed);
        let first = {
            let mut waiting = calls.waiting();
            waiting.insert(call, answer);
            waiting.len() == 1
        };
        let _guard = Guard {
            shared: &self.0,
            call,
        };
        let frame = Frame {
            kind: Kind::Call,
            method,
            call,
            message,
            body,
        };
        if out.send(frame).is_err() {
            return Err(Error::Unreachable(io::ErrorKind::BrokenPipe.into()));
        }
        if first {
            calls.busy.notify_one();
        }
        // The task answers everybody before it ends.
        answered
            .await
            .unwrap_or_else(|_| Err(Error::Lost(io::ErrorKind::BrokenPipe.into())))
    }
}

/// Takes a call back when nobody waits for its answer.
struct Guard<'a> {
    shared: &'a Shared,
    call: u32,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.shared.calls.waiting().remove(&self.call).is_some() {
            // A connection that is gone needs not be told.
            let _ = self.shared.out.send(Frame::bare(Kind::Cancel, self.call));
        }
    }
}

/// Moves frames until the connection ends, and then answers all who still wait.
async fn drive(
    calls: Arc<Calls>,
    mut frames: UnboundedReceiver<Frame>,
    reading: impl AsyncRead + Unpin,
    writing: impl AsyncWrite + Unpin,
    out: tokio::sync::mpsc::WeakUnboundedSender<Frame>,
) {
    let ended = tokio::select! {
        written = write_all(&mut frames, writing) => written.map_or_else(|error| error, |()| closed()),
        heard = hear(&calls, Reader::new(reading)) => heard.map_or_else(|error| error, |()| closed()),
        () = watch(&calls, out) => io::Error::new(io::ErrorKind::TimedOut, "the other side says nothing"),
    };
    calls.closed.store(true, Ordering::Relaxed);
    frames.close();
    // What was not yet taken to be written has surely not begun.
    let mut unsent = HashSet::new();
    while let Ok(frame) = frames.try_recv() {
        if frame.kind == Kind::Call {
            unsent.insert(frame.call);
        }
    }
    let waiting = std::mem::take(&mut *calls.waiting());
    for (call, answer) in waiting {
        let source = io::Error::new(ended.kind(), ended.to_string());
        let error = if unsent.contains(&call) {
            Error::Unreachable(source)
        } else {
            Error::Lost(source)
        };
        // Whoever asked may have gone in the meantime.
        let _ = answer.send(Err(error));
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was closed")
}

/// Hands out what comes, until the other side has closed the connection, or wants it closed and owes nothing.
async fn hear<R: AsyncRead + Unpin>(calls: &Calls, mut reader: Reader<R>) -> io::Result<()> {
    while let Some(frame) = reader.next().await? {
        calls.heard.fetch_add(1, Ordering::Relaxed);
        let result = match frame.kind {
            Kind::Reply => Ok(Reply {
                message: frame.message,
                body: frame.body,
            }),
            Kind::Refused => Err(Error::Unreachable(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the runner takes nothing new",
            ))),
            Kind::Failed => Err(Error::Protocol(
                String::from_utf8_lossy(&frame.message).into_owned(),
            )),
            Kind::GoAway => {
                calls.closed.store(true, Ordering::Relaxed);
                if calls.waiting().is_empty() {
                    break;
                }
                continue;
            }
            // Calls and cancellations come only from clients.
            Kind::Hello | Kind::Pong | Kind::Ping | Kind::Call | Kind::Cancel => continue,
        };
        let (answer, last) = {
            let mut waiting = calls.waiting();
            (waiting.remove(&frame.call), waiting.is_empty())
        };
        // A call that was taken back is waited for by nobody.
        if let Some(answer) = answer {
            let _ = answer.send(result);
        }
        if last && calls.closed.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}

/// Ends when calls wait and nothing comes, not even the answer to a ping.
async fn watch(calls: &Calls, out: tokio::sync::mpsc::WeakUnboundedSender<Frame>) {
    loop {
        calls.busy.notified().await;
        let mut asked = false;
        let mut before = calls.heard.load(Ordering::Relaxed);
        while !calls.waiting().is_empty() {
            sleep(SILENCE).await;
            let now = calls.heard.load(Ordering::Relaxed);
            let silent = now == before && !calls.waiting().is_empty();
            if silent && asked {
                return;
            }
            asked = silent;
            before = now;
            if silent && let Some(out) = out.upgrade() {
                // When it cannot be sent, the connection has ended already.
                let _ = out.send(Frame::bare(Kind::Ping, 0));
            }
        }
    }
}
