//! The messages of a call as they come in: each has a byte that says whether it is compressed, its length in four bytes, and its
//! bytes. Their memory is counted with the bodies of HTTP, and grows with what has come in, not with what was announced.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::errors::{Code, Failure};
use crate::extract::{BodyMemory, too_large};

/// The bytes before a message.
const PREFIX: usize = 5;

/// The messages of a call.
pub(super) struct Messages {
    body: Incoming,
    /// What has come in and was not given out.
    rest: BytesMut,
    limit: u64,
    patience: Duration,
    memory: BodyMemory,
}

impl Messages {
    /// The messages in `body`, each of at most `limit` bytes and there `patience` after its beginning.
    pub(super) fn new(body: Incoming, limit: u64, patience: Duration, memory: BodyMemory) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
            limit,
            patience,
            memory,
        }
    }

    /// The next message; `None` when the caller sends no more. Waits for its beginning without a limit.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.rest.is_empty() && !self.more().await? {
            return Ok(None);
        }
        let until = Instant::now() + self.patience;
        let patience = self.patience.as_secs();
        timeout_at(until, self.rest_of_message())
            .await
            .unwrap_or_else(|_| {
                Err(Failure::new(
                    Code::BodyTimeout,
                    format!("The message did not arrive within {patience} seconds."),
                ))
            })
            .map(Some)
    }

    /// The only message of a call that has one.
    pub(super) async fn only(mut self) -> Result<Bytes, Failure> {
        let until = Instant::now() + self.patience;
        let patience = self.patience.as_secs();
        let first = timeout_at(until, self.next()).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Code::BodyTimeout,
                format!("No message arrived within {patience} seconds."),
            ))
        });
        first?.ok_or_else(|| Failure::of(Code::BodyIncomplete))
    }

    async fn rest_of_message(&mut self) -> Result<Bytes, Failure> {
        let incomplete = || Failure::of(Code::BodyIncomplete);
        let mut share = self.memory.share();
        share.hold(self.rest.len()).await?;
        while self.rest.len() < PREFIX {
            if !self.more().await? {
                return Err(incomplete());
            }
        }
        let compressed = self.rest.get_u8() != 0;
        let length = self.rest.get_u32();
        if compressed {
            return Err(Failure::of(Code::ContentEncodingUnsupported));
        }
        if u64::from(length) > self.limit {
            return Err(too_large(self.limit));
        }
        let length = usize::try_from(length).map_err(|_| too_large(self.limit))?;
        while self.rest.len() < length {
            share.hold(self.rest.len()).await?;
            if !self.more().await? {
                return Err(incomplete());
            }
        }
        share.hold(length).await?;
        Ok(share.with(self.rest.split_to(length).freeze()))
    }

    /// Reads what comes next; `false` at the end.
    async fn more(&mut self) -> Result<bool, Failure> {
        loop {
            let frame = match self.body.frame().await {
                None => return Ok(false),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(Failure::of(Code::BodyIncomplete).source(error)),
            };
            // Trailers say nothing here.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                self.rest.extend_from_slice(&data);
                return Ok(true);
            }
        }
    }
}

/// A message with what stands before it, as one or two pieces.
pub(super) fn framed(message: Bytes) -> [Bytes; 2] {
    let mut prefix = [0; PREFIX];
    // An answer has a limit far below.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    prefix[1..].copy_from_slice(&length.to_be_bytes());
    [Bytes::copy_from_slice(&prefix), message]
}
