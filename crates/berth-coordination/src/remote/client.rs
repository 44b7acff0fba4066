//! The side that asks.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::frame::{Call, Reply, Request, encode, framed};
use crate::event::Event;

const SHORTEST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// A call that waits for its answer. Its sender is dropped when the connection is lost.
pub(super) struct Pending {
    pub(super) call: Call,
    pub(super) reply: oneshot::Sender<serde_json::Value>,
}

/// Keeps the connection.
pub(super) struct Client {
    pub(super) path: PathBuf,
    pub(super) calls: mpsc::Receiver<Pending>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) connected: watch::Sender<bool>,
}

impl Client {
    pub(super) async fn run(mut self) {
        let mut wait = SHORTEST_WAIT;
        let mut complained = false;
        loop {
            let lost = match UnixStream::connect(&self.path).await {
                Ok(stream) => {
                    (wait, complained) = (SHORTEST_WAIT, false);
                    match self.converse(stream).await {
                        Ok(()) => return,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.connected.send_replace(false);
            if !complained {
                // Once per outage, not once per attempt.
                tracing::warn!(error = %lost, path = %self.path.display(), "coordination is lost; trying again");
                complained = true;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Carries calls and events until the connection is lost, or nobody can call any more.
    async fn converse(&mut self, stream: UnixStream) -> io::Result<()> {
        let (mut outgoing, mut incoming) = framed(stream).split();
        let waiting: Mutex<HashMap<u64, oneshot::Sender<serde_json::Value>>> = Mutex::default();
        let waiting = || waiting.lock().unwrap_or_else(PoisonError::into_inner);

        // The server subscribed this connection when it accepted it, and it answers in order: once it has answered
        // anything, nothing is missed.
        let greeting = Request {
            number: 0,
            call: Call::Check,
        };
        outgoing.send(encode(&greeting)?).await?;

        let calls = &mut self.calls;
        let write = async {
            let mut number = 0;
            while let Some(Pending { call, reply }) = calls.recv().await {
                // The caller gave up while there was no connection.
                if reply.is_closed() {
                    continue;
                }
                number += 1;
                let request = encode(&Request { number, call })?;
                waiting().insert(number, reply);
                outgoing.send(request).await?;
            }
            io::Result::Ok(())
        };
        let read = async {
            while let Some(frame) = incoming.next().await {
                match serde_json::from_slice(&frame?)? {
                    Reply::Answer { number: 0, .. } => {
                        let _ = self.events.send(Event::Gap);
                        self.connected.send_replace(true);
                    }
                    Reply::Answer { number, value } => {
                        if let Some(reply) = waiting().remove(&number) {
                            // The caller may have given up.
                            let _ = reply.send(value);
                        }
                    }
                    // Sending fails only when nobody is subscribed.
                    Reply::Event(event) => drop(self.events.send(event)),
                }
            }
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        // Side by side, so that neither end ever waits to write while the other waits to write.
        tokio::select! {
            ended = write => ended,
            ended = read => ended,
        }
    }
}
