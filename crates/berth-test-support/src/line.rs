//! A line between a client and a server that a test can cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A TCP proxy on a loopback port in front of a server. While it is cut, it drops every connection: open ones at
/// once, new ones as they come, which is how a server that is down behind a live machine looks.
///
/// Has to be made inside a runtime; it lives as long as this value.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    is_whole: Arc<watch::Sender<bool>>,
    task: AbortHandle,
}

impl Line {
    /// Lays a line to `upstream`, a host and port.
    pub async fn to(upstream: impl Into<String>) -> anyhow::Result<Self> {
        let upstream = upstream.into();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("binding a loopback port")?;
        let address = listener.local_addr().context("asking for the port")?;
        let is_whole = Arc::new(watch::Sender::new(true));
        let task = tokio::spawn(carry(listener, upstream, is_whole.subscribe())).abort_handle();
        Ok(Self {
            address,
            is_whole,
            task,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lays a line to the server that a URL names; gives the URL by which the server is reached through it.
    ///
    /// Fails when the URL has no host and port.
    pub async fn to_url(url: &str) -> anyhow::Result<(Self, String)> {
        let line = Self::to(authority(url)?).await?;
        let through = line.through(url)?;
        Ok((line, through))
    }

    /// A URL of the server that this line leads to, with the line's address in place of the server's own.
    ///
    /// Fails when the URL has no host and port.
    pub fn through(&self, url: &str) -> anyhow::Result<String> {
        Ok(url.replacen(authority(url)?, &self.address.to_string(), 1))
    }

    /// Cuts the line.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    /// Mends the line: new connections go through again.
    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

/// The host and port in a URL.
fn authority(url: &str) -> anyhow::Result<&str> {
    url.split_once("://")
        .map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest))
        .map(|authority| authority.rsplit('@').next().unwrap_or(authority))
        .filter(|address| address.contains(':'))
        .context("the URL names no host and port")
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, upstream: String, is_whole: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *is_whole.borrow() {
            connections.spawn(connect(client, upstream.clone(), is_whole.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Errors end the connection, and that is how both sides learn of them.
async fn connect(mut client: TcpStream, upstream: String, mut is_whole: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = is_whole.wait_for(|whole| !whole) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        address
    }

    async fn echoes(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await.is_ok() && stream.read_exact(&mut answer).await.is_ok()
    }

    #[tokio::test]
    async fn a_cut_line_drops_connections_until_it_is_mended() {
        let line = Line::to(echo_server().await.to_string()).await.expect("is laid");
        let mut open = TcpStream::connect(line.address())
            .await
            .expect("the line listens");
        assert!(echoes(&mut open).await);
        line.cut();
        assert!(!echoes(&mut open).await, "an open connection is dropped");
        let mut new = TcpStream::connect(line.address())
            .await
            .expect("the line listens");
        assert!(!echoes(&mut new).await, "a new connection is dropped");
        line.mend();
        let mut mended = TcpStream::connect(line.address())
            .await
            .expect("the line listens");
        assert!(echoes(&mut mended).await);
    }

    #[tokio::test]
    async fn the_address_in_a_url_is_replaced() {
        let (line, url) = Line::to_url("amqp://guest:guest@localhost:5672/%2f?heartbeat=1")
            .await
            .expect("is laid");
        assert_eq!(
            url,
            format!("amqp://guest:guest@{}/%2f?heartbeat=1", line.address())
        );
        Line::to_url("redis://nowhere")
            .await
            .expect_err("there is no port");
    }
}
