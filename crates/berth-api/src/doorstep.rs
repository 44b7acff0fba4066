//! Closing a listener without losing who stands before it.
//!
//! A listener that is closed resets the connections that the kernel has made and nobody has taken, and the server below drops those
//! that it has taken and not begun to read. Their clients have perhaps sent a request, and cannot know what became of it. So no new
//! connection is made any more some time before: a filter on the listening socket drops what asks for one. Who asked then asks again
//! after a second, finds the listener closed, and is refused, which every client knows to be safe to try elsewhere.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use socket2::{SockFilter, Socket};

/// The instruction of a packet filter that returns a constant, `BPF_RET | BPF_K`: how many bytes of the packet are kept.
const RETURN: u16 = 0x06;

/// How long connections that were made have to be taken.
const TAKING: Duration = Duration::from_millis(100);

/// A second handle of a listener.
pub(crate) struct Doorstep(Socket);

impl Doorstep {
    pub(crate) fn of(listener: &TcpListener) -> io::Result<Self> {
        Ok(Self(listener.try_clone()?.into()))
    }

    /// Lets no new connection be made, and waits until those that were made have been taken. The listener is to be closed after that.
    pub(crate) async fn clear(self) {
        if let Err(error) = self.0.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]) {
            tracing::warn!(%error, "connections are made until the listener is closed");
        }
        tokio::time::sleep(TAKING).await;
    }
}
