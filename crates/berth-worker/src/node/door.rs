//! The way in for other machines: lets peers in, and joins each with what it wants to reach on this one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berth_domain::random::SystemRandom;
use berth_transport::{Admission, Peers, node};
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::Board;

/// Connections at once. Each API node has one for each of its threads and each model, and some for large bodies.
const CONNECTIONS: usize = 16_384;

/// How much of a connection is copied at once, in each direction.
const COPY_BYTES: usize = 64 << 10;

/// How long to wait after a connection could not be taken: most often because no file numbers are left.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);

/// Listens for peers.
pub(super) struct Door {
    listener: TcpListener,
    hall: Arc<Hall>,
}

struct Hall {
    peers: Peers,
    board: Board,
    control: String,
}

impl Door {
    /// Listens at `address`; peers reach the control service, whose socket is `control`, and the runners of `board`.
    pub(super) async fn open(
        address: SocketAddr,
        peers: Peers,
        board: Board,
        control: String,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            hall: Arc::new(Hall {
                peers,
                board,
                control,
            }),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Lets peers in until `gone`; those that are in then lose their connections.
    pub(super) async fn run(self, gone: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut inside = JoinSet::new();
        loop {
            let taken = tokio::select! {
                () = gone.cancelled() => break,
                Some(_) = inside.join_next() => continue,
                taken = self.listener.accept() => taken,
            };
            let (stream, caller) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(%caller, "a connection is refused: there are too many");
                continue;
            };
            let hall = Arc::clone(&self.hall);
            inside.spawn(async move {
                hall.receive(stream, caller).await;
                drop(place);
            });
        }
    }
}

impl Hall {
    async fn receive(&self, stream: TcpStream, caller: SocketAddr) {
        match self.peers.admit(stream, &SystemRandom).await {
            Ok(admission) => {
                if let Err(error) = self.join(admission).await {
                    tracing::debug!(%error, %caller, "a connection of a peer ended");
                }
            }
            Err(error) => tracing::warn!(%error, %caller, "a caller is not let in"),
        }
    }

    async fn join(&self, admission: Admission) -> io::Result<()> {
        let Some(path) = self.socket(&admission.target) else {
            return admission.refuse("it is not here any more").await;
        };
        let mut inner = match UnixStream::connect(&path).await {
            Ok(inner) => inner,
            Err(error) => {
                tracing::debug!(%error, path, "what a peer wants to reach does not answer");
                return admission.refuse("it does not answer").await;
            }
        };
        let mut outer = admission.accept().await?;
        copy_bidirectional_with_sizes(&mut outer, &mut inner, COPY_BYTES, COPY_BYTES).await?;
        Ok(())
    }

    fn socket(&self, target: &str) -> Option<String> {
        let address = if target == node::CONTROL {
            self.control.clone()
        } else {
            self.board.address(node::replica(target)?.parse().ok()?)?
        };
        Some(address.strip_prefix("unix:").unwrap_or(&address).to_owned())
    }
}
