//! The listener of gRPC.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::Service;
use crate::frame::Frame;
use crate::options::Grpc;
use crate::state::State;
use crate::tls::{self, Certificate};

/// How long nothing is accepted after that has failed, as it does when there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener that listens already, and answers once it runs.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    service: Service,
}

impl Listener {
    /// Listens on the address of `options`, by TLS with a certificate.
    pub(crate) fn bind(options: Grpc, frame: Frame, state: State) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let service = Service {
            frame,
            state,
            options,
            stop: CancellationToken::new(),
        };
        Ok(Self {
            socket: listener,
            address,
            tls: None,
            service,
        })
    }

    /// The same with TLS.
    pub(crate) fn secured(mut self, certificate: &Certificate) -> Result<Self, tls::Error> {
        let mut settings = certificate.listener()?;
        settings.alpn_protocols = vec![b"h2".to_vec()];
        self.tls = Some(TlsAcceptor::from(Arc::new(settings)));
        Ok(self)
    }

    /// The address that is listened on, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers calls until `stop`; then takes no new ones, lets the running ones end within `patience`, and returns. Fails when
    /// nothing can be accepted at all.
    pub(crate) async fn run(self, stop: CancellationToken, patience: Duration) -> io::Result<()> {
        let Self {
            socket: listener,
            tls,
            mut service,
            ..
        } = self;
        service.stop = stop.clone();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let most = service.options.max_connections.min(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                // Further connections wait in the system's queue.
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accepted => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (service, tls) = (service.clone(), tls.clone());
                    connections.spawn(async move {
                        serve(&service, tls, stream, peer).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "calls that did not end are cut");
            connections.shutdown().await;
        }
        Ok(())
    }
}

async fn serve(service: &Service, tls: Option<TlsAcceptor>, stream: TcpStream, peer: SocketAddr) {
    // Small answers go out at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection is gone already");
        return;
    }
    let Some(tls) = tls else {
        return service.serve(stream, peer.ip()).await;
    };
    let patience = service.frame.options().head_timeout;
    match tokio::time::timeout(patience, tls.accept(stream)).await {
        Ok(Ok(stream)) => service.serve(stream, peer.ip()).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}
