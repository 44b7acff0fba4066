//! The side that answers.

use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frame::{Call, Reply, Request, encode, framed};
use crate::coordination::{Answer, Coordination as _};
use crate::event::Topic;
use crate::memory::Memory;

/// Answers that may wait to be written to one client; then it is not read any further.
const ANSWER_BUFFER: usize = 64;

/// Lets other processes share `memory` through `listener`, until `shutdown`. Whoever can open the socket can do
/// everything, so it belongs into a folder of one user.
pub async fn serve(memory: Memory, listener: UnixListener, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (memory, shutdown) = (memory.clone(), shutdown.clone());
                    connections.spawn(async move {
                        let ended = shutdown.run_until_cancelled(converse(&memory, stream)).await;
                        if let Some(Err(error)) = ended {
                            tracing::debug!(%error, "a client of coordination is gone");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: they come back when clients leave.
                    tracing::warn!(%error, "a client of coordination could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await;
    connections.close();
    connections.wait().await;
}

async fn converse(memory: &Memory, stream: UnixStream) -> io::Result<()> {
    let mut events = memory.subscribe(&Topic::ALL).await.map_err(io::Error::other)?;
    let (mut outgoing, mut incoming) = framed(stream).split();
    let (answers, mut answered) = mpsc::channel(ANSWER_BUFFER);

    let read = async {
        while let Some(frame) = incoming.next().await {
            let Request { number, call } = serde_json::from_slice(&frame?)?;
            let value = answer(memory, call).await?;
            if answers.send(Reply::Answer { number, value }).await.is_err() {
                break;
            }
        }
        io::Result::Ok(())
    };
    let write = async {
        loop {
            let reply = tokio::select! {
                Some(reply) = answered.recv() => reply,
                Some(event) = events.next() => Reply::Event(event),
                else => return Ok(()),
            };
            outgoing.send(encode(&reply)?).await?;
        }
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}

/// What `memory` says to `call`, as JSON.
async fn answer(memory: &Memory, call: Call) -> io::Result<serde_json::Value> {
    async fn json<T: Serialize>(answer: Answer<'_, T>) -> io::Result<serde_json::Value> {
        let value = answer.await.map_err(io::Error::other)?;
        Ok(serde_json::to_value(value)?)
    }
    match call {
        Call::Put {
            collection,
            id,
            value,
            ttl,
        } => json(memory.put(&collection, &id, value, ttl)).await,
        Call::Get { collection, id } => json(memory.get(&collection, &id)).await,
        Call::List { collection } => json(memory.list(&collection)).await,
        Call::Remove { collection, id } => json(memory.remove(&collection, &id)).await,
        Call::Acquire { lease, holder, ttl } => json(memory.acquire(&lease, &holder, ttl)).await,
        Call::Release { lease, holder } => json(memory.release(&lease, &holder)).await,
        Call::Hit {
            counter,
            limit,
            window,
        } => json(memory.hit(&counter, limit, window)).await,
        Call::Clear { counter } => json(memory.clear(&counter)).await,
        Call::Publish { topic, payload } => json(memory.publish(topic, &payload)).await,
        Call::Check => json(memory.check()).await,
    }
}
