//! Frames: what goes over a connection, read and written.

use std::io;

use berth_protocol::transport::MESSAGE_LIMIT_BYTES;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) const HEADER_BYTES: usize = 16;

/// How much is read at once where nothing larger is expected.
const READ_BYTES: usize = 16 << 10;

/// Bodies up to this size are copied together with others into one write; a larger one is written from where it lies.
const GATHERED_BYTES: usize = 16 << 10;

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 64 << 10;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    Call = 2,
    Cancel = 3,
    Reply = 4,
    Failed = 5,
    Refused = 6,
    GoAway = 7,
    Ping = 8,
    Pong = 9,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Call,
            3 => Self::Cancel,
            4 => Self::Reply,
            5 => Self::Failed,
            6 => Self::Refused,
            7 => Self::GoAway,
            8 => Self::Ping,
            9 => Self::Pong,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) method: u8,
    pub(crate) call: u32,
    pub(crate) message: Bytes,
    pub(crate) body: Bytes,
}

impl Frame {
    /// A frame with neither message nor body.
    pub(crate) const fn bare(kind: Kind, call: u32) -> Self {
        Self {
            kind,
            method: 0,
            call,
            message: Bytes::new(),
            body: Bytes::new(),
        }
    }

    fn length(&self) -> usize {
        self.message.len() + self.body.len()
    }

    /// Appends everything but the body.
    fn put_head(&self, out: &mut BytesMut) -> io::Result<()> {
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "a frame larger than 4 GiB");
        out.put_u32_le(u32::try_from(self.length()).map_err(invalid)?);
        out.put_u32_le(u32::try_from(self.message.len()).map_err(invalid)?);
        out.put_u32_le(self.call);
        out.put_u8(self.kind as u8);
        out.put_u8(self.method);
        out.put_u16_le(0);
        out.extend_from_slice(&self.message);
        Ok(())
    }
}

/// Reads frames.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame; `None` when the other side has closed the connection between two frames. Kinds that are not known are
    /// passed over. Fails when the stream does, ends in the middle, or holds what cannot be a frame.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match self.parse()? {
                Parsed::Frame(frame) => return Ok(Some(frame)),
                Parsed::Unknown => {}
                Parsed::Missing(bytes) => {
                    self.buffer.reserve(bytes.max(READ_BYTES));
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return if self.buffer.is_empty() {
                            Ok(None)
                        } else {
                            Err(io::ErrorKind::UnexpectedEof.into())
                        };
                    }
                }
            }
        }
    }

    fn parse(&mut self) -> io::Result<Parsed> {
        let Some(mut header) = self.buffer.get(..HEADER_BYTES) else {
            return Ok(Parsed::Missing(HEADER_BYTES - self.buffer.len()));
        };
        let length = usize::try_from(header.get_u32_le()).unwrap_or(usize::MAX);
        let message = usize::try_from(header.get_u32_le()).unwrap_or(usize::MAX);
        let call = header.get_u32_le();
        let (kind, method) = (header.get_u8(), header.get_u8());
        if length > MESSAGE_LIMIT_BYTES || message > length {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the stream holds no frames",
            ));
        }
        let whole = HEADER_BYTES + length;
        if self.buffer.len() < whole {
            return Ok(Parsed::Missing(whole - self.buffer.len()));
        }
        let mut frame = self.buffer.split_to(whole).freeze();
        frame.advance(HEADER_BYTES);
        let Some(kind) = Kind::of(kind) else {
            return Ok(Parsed::Unknown);
        };
        let message = frame.split_to(message);
        Ok(Parsed::Frame(Frame {
            kind,
            method,
            call,
            message,
            body: frame,
        }))
    }
}

enum Parsed {
    Frame(Frame),
    /// A frame of a kind that a later version has; it was taken away.
    Unknown,
    /// So many bytes are missing at least.
    Missing(usize),
}

/// Writes what comes out of `frames`, all that is there at a time in as few writes as can be, until nobody can send any more.
pub(crate) async fn write_all<W: AsyncWrite + Unpin>(
    frames: &mut UnboundedReceiver<Frame>,
    mut stream: W,
) -> io::Result<()> {
    let mut gathered = BytesMut::with_capacity(READ_BYTES);
    while let Some(first) = frames.recv().await {
        let mut next = Some(first);
        while let Some(frame) = next {
            frame.put_head(&mut gathered)?;
            if frame.body.len() <= GATHERED_BYTES {
                gathered.extend_from_slice(&frame.body);
            } else {
                stream.write_all_buf(&mut gathered).await?;
                let mut body = frame.body;
                stream.write_all_buf(&mut body).await?;
            }
            if gathered.len() >= WRITE_BYTES {
                stream.write_all_buf(&mut gathered).await?;
            }
            next = frames.try_recv().ok();
        }
        stream.write_all_buf(&mut gathered).await?;
        stream.flush().await?;
    }
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let body = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..64),
            (GATHERED_BYTES - 2..GATHERED_BYTES + 2).prop_map(|length| vec![7; length]),
            Just(vec![9; 3 * WRITE_BYTES]),
        ];
        let frame = (
            1u8..10,
            any::<u8>(),
            any::<u32>(),
            proptest::collection::vec(any::<u8>(), 0..64),
            body,
        );
        let frame = frame.prop_map(|(kind, method, call, message, body)| Frame {
            kind: Kind::of(kind).expect("a kind"),
            method,
            call,
            message: message.into(),
            body: body.into(),
        });
        proptest::collection::vec(frame, 0..8)
    }

    async fn read_all(stream: impl AsyncRead + Unpin) -> io::Result<Vec<Frame>> {
        let (mut reader, mut read) = (Reader::new(stream), Vec::new());
        while let Some(frame) = reader.next().await? {
            read.push(frame);
        }
        Ok(read)
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(frames in frames(), width in 1usize..5000) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let read = runtime.block_on(async {
                let (near, far) = tokio::io::duplex(width);
                let (sender, mut receiver) = unbounded_channel();
                for frame in &frames {
                    sender.send(frame.clone()).expect("it is there");
                }
                drop(sender);
                let (written, read) = tokio::join!(write_all(&mut receiver, near), read_all(far));
                written.expect("it is written");
                read.expect("it is read")
            });
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn noise_ends_in_frames_or_an_error(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            // Neither a panic nor an endless loop.
            let _ = runtime.block_on(read_all(noise.as_slice()));
        }
    }

    #[tokio::test]
    async fn kinds_of_a_later_version_are_passed_over() {
        let mut bytes = BytesMut::new();
        for kind in [Kind::Ping, Kind::Pong] {
            Frame::bare(kind, 1).put_head(&mut bytes).expect("fits");
        }
        bytes[12] = 200;
        let read = read_all(&bytes[..]).await.expect("it is read");
        assert_eq!(read, [Frame::bare(Kind::Pong, 1)]);
    }

    #[tokio::test]
    async fn cut_frame_is_an_error() {
        let mut bytes = BytesMut::new();
        Frame::bare(Kind::Ping, 1).put_head(&mut bytes).expect("fits");
        let error = read_all(&bytes[..HEADER_BYTES - 1]).await.expect_err("it is cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
