//! What travels over the socket.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::event::{Event, Topic};

/// The largest frame; the assignments of a worker with thousands of models stay well below it.
const FRAME_LIMIT_BYTES: usize = 64 << 20;

/// One operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    Put {
        collection: String,
        id: String,
        value: String,
        ttl: Option<Duration>,
    },
    Get {
        collection: String,
        id: String,
    },
    List {
        collection: String,
    },
    Remove {
        collection: String,
        id: String,
    },
    Acquire {
        lease: String,
        holder: String,
        ttl: Duration,
    },
    Release {
        lease: String,
        holder: String,
    },
    Hit {
        counter: String,
        limit: u32,
        window: Duration,
    },
    Clear {
        counter: String,
    },
    Publish {
        topic: Topic,
        payload: String,
    },
    Check,
}

/// From the client.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) call: Call,
}

/// From the server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Answer { number: u64, value: serde_json::Value },
    Event(Event),
}

/// Frames over `stream`.
pub(super) fn framed(stream: UnixStream) -> Framed<UnixStream, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder()
        .max_frame_length(FRAME_LIMIT_BYTES)
        .new_framed(stream)
}

/// The bytes of one frame.
pub(super) fn encode(frame: &impl Serialize) -> io::Result<Bytes> {
    Ok(serde_json::to_vec(frame)?.into())
}
