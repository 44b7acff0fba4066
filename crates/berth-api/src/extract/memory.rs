//! The memory that bodies take: bounded for the whole process, whoever sends them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::errors::{Code, Failure};

/// Memory is counted in blocks, so that a body need not count each of its pieces.
const BLOCK: usize = 16 * 1024;

/// How long a body waits for others to go.
const PATIENCE: Duration = Duration::from_secs(1);

/// The memory for bodies. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    /// Memory of this many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let blocks = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(BLOCK);
        Self(Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS))))
    }

    /// A share that holds nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share {
            memory: Arc::clone(&self.0),
            held: None,
        }
    }
}

/// What one body takes. It grows with the bytes that have come in, not with those that were announced, so that announcing
/// costs others nothing; it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Grows to `bytes`. Fails when there is no memory for them in time.
    pub(crate) async fn hold(&mut self, bytes: usize) -> Result<(), Failure> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(BLOCK).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| crowded())?;
        let waiting = Arc::clone(&self.memory).acquire_many_owned(more);
        let Ok(Ok(permit)) = tokio::time::timeout(PATIENCE, waiting).await else {
            return Err(crowded());
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }

    /// `body`, which gives the share back when its last copy is dropped.
    pub(crate) fn with(self, body: Bytes) -> Bytes {
        Bytes::from_owner(Counted { body, _share: self })
    }
}

struct Counted {
    body: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn crowded() -> Failure {
    Failure::new(
        Code::Overloaded,
        "The bodies of other requests take all the memory that there is for them.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_comes_back_with_the_last_copy() {
        let memory = BodyMemory::new(3 * BLOCK as u64);
        let mut share = memory.share();
        share.hold(1).await.expect("there is room");
        share.hold(BLOCK).await.expect("the block is held already");
        share.hold(2 * BLOCK + 1).await.expect("there is room");
        assert_eq!(memory.0.available_permits(), 0);
        let body = share.with(Bytes::from_static(b"body"));
        let copy = body.slice(1..3);
        drop(body);
        assert_eq!(memory.0.available_permits(), 0);
        assert_eq!(copy, "od");
        drop(copy);
        assert_eq!(memory.0.available_permits(), 3);
    }

    #[tokio::test]
    async fn body_waits_for_memory_and_is_refused_when_none_comes() {
        let memory = BodyMemory::new(2 * BLOCK as u64);
        let mut first = memory.share();
        first.hold(2 * BLOCK).await.expect("there is room");
        let refused = memory.share().hold(1).await.expect_err("there is none");
        assert_eq!(refused.code(), Code::Overloaded);
        assert!(refused.wait().is_some());
        let mut second = memory.share();
        let (held, ()) = tokio::join!(second.hold(1), async { drop(first) });
        held.expect("the first one has gone");
    }
}
