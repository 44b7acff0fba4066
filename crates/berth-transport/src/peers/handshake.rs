//! What is said before a connection belongs to those whom it joins.
//!
//! The node says its version and 32 random bytes. The caller says its version, what it wants to reach, and, where a secret is
//! demanded, the HMAC-SHA-256 of [`CONTEXT`], those bytes and what it wants, under the secret: it cannot be used again. The node
//! answers with 0, or with 1 and why not.

use std::io;

use berth_domain::random::Random;
use berth_domain::secret::Secret;
use ring::hmac;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"berth peer 1";
const NONCE_BYTES: usize = 32;

/// Longest text in either direction.
const TEXT_LIMIT: u16 = 512;

const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;

/// The caller's side.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &str,
    secret: Option<&Secret>,
) -> io::Result<()> {
    expect_version(stream.read_u8().await?)?;
    let mut nonce = [0; NONCE_BYTES];
    stream.read_exact(&mut nonce).await?;
    let proof = secret.map(|secret| hmac::sign(&key(secret), &signed(&nonce, target)));
    let mut said = vec![VERSION];
    put(&mut said, target.as_bytes())?;
    put(&mut said, proof.as_ref().map_or(&[], hmac::Tag::as_ref))?;
    stream.write_all(&said).await?;
    stream.flush().await?;
    if stream.read_u8().await? == ACCEPTED {
        return Ok(());
    }
    let reason = take(stream).await?;
    let reason = String::from_utf8_lossy(&reason).into_owned();
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason))
}

/// The node's side: what the caller wants to reach.
pub(super) async fn hear(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    secret: Option<&Secret>,
    random: &dyn Random,
) -> io::Result<String> {
    let mut nonce = [0; NONCE_BYTES];
    random.fill(&mut nonce);
    let mut said = vec![VERSION];
    said.extend(nonce);
    stream.write_all(&said).await?;
    stream.flush().await?;
    expect_version(stream.read_u8().await?)?;
    let target =
        String::from_utf8(take(stream).await?).map_err(|_| invalid("what is to be reached is no text"))?;
    let proof = take(stream).await?;
    if let Some(secret) = secret
        && hmac::verify(&key(secret), &signed(&nonce, &target), &proof).is_err()
    {
        refuse(stream, "the secret is another one").await?;
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the caller does not know the secret",
        ));
    }
    Ok(target)
}

/// Lets the caller go on.
pub(super) async fn accept(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_u8(ACCEPTED).await?;
    stream.flush().await
}

/// Tells the caller why not.
pub(super) async fn refuse(stream: &mut (impl AsyncWrite + Unpin), reason: &str) -> io::Result<()> {
    let mut said = vec![REFUSED];
    put(&mut said, reason.as_bytes())?;
    stream.write_all(&said).await?;
    stream.flush().await?;
    stream.shutdown().await
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

fn signed(nonce: &[u8], target: &str) -> Vec<u8> {
    [CONTEXT, nonce, target.as_bytes()].concat()
}

fn expect_version(version: u8) -> io::Result<()> {
    if version == VERSION {
        Ok(())
    } else {
        Err(invalid("the other side greets in another way"))
    }
}

fn put(out: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
    let length = u16::try_from(text.len())
        .ok()
        .filter(|length| *length <= TEXT_LIMIT);
    let length = length.ok_or_else(|| invalid("a text of the greeting is too long"))?;
    out.extend(length.to_be_bytes());
    out.extend(text);
    Ok(())
}

async fn take(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    if length > TEXT_LIMIT {
        return Err(invalid("a text of the greeting is too long"));
    }
    let mut text = vec![0; usize::from(length)];
    stream.read_exact(&mut text).await?;
    Ok(text)
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
