//! Who may talk to whom between machines: mutual TLS with certificates from files, or, where that is turned off, a secret that
//! both know.

mod handshake;
mod tls;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_domain::random::Random;
use berth_domain::secret::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use self::tls::Tls;
pub use self::tls::{TlsError, TlsFiles};

/// How long a connection may take until it can be used, in each direction.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream of bytes to or from another process.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a node shows and demands.
#[derive(Debug, Clone)]
pub enum Security {
    /// Both sides show a certificate that the same authority signed.
    Tls(TlsFiles),
    /// The caller proves that it knows this. Nothing is encrypted.
    Secret(Secret),
}

/// Where something answers: on its own machine by a Unix socket, for others by the node that owns it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The path of the socket.
    pub socket: PathBuf,
    /// The machine where that path means something; `None` when it was not said.
    pub machine: Option<String>,
    /// `host:port` of the node.
    pub endpoint: Option<String>,
    /// What it is called there.
    pub target: String,
}

impl Location {
    /// Something on this machine.
    pub fn here(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            machine: None,
            endpoint: None,
            target: String::new(),
        }
    }
}

/// Connects to peers, and lets them in. Clones share the certificates.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    machine: Option<String>,
    local_sockets: bool,
    guard: Option<Guard>,
}

enum Guard {
    Tls(Tls),
    Secret(Secret),
}

impl fmt::Debug for Peers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = match &self.0.guard {
            None => "none",
            Some(Guard::Tls(_)) => "tls",
            Some(Guard::Secret(_)) => "secret",
        };
        out.debug_struct("Peers")
            .field("machine", &self.0.machine)
            .field("local_sockets", &self.0.local_sockets)
            .field("guard", &guard)
            .finish()
    }
}

impl Peers {
    /// Peers as `security` says; without it there are only those of this machine. With `local_sockets` turned off those of this
    /// machine are reached as others are. Fails when the certificates cannot be used.
    pub fn new(security: Option<Security>, local_sockets: bool) -> Result<Self, TlsError> {
        let guard = match security {
            None => None,
            Some(Security::Secret(secret)) => Some(Guard::Secret(secret)),
            Some(Security::Tls(files)) => Some(Guard::Tls(Tls::open(files)?)),
        };
        Ok(Self::with(guard, local_sockets))
    }

    /// Those of this machine alone.
    pub fn here() -> Self {
        Self::with(None, true)
    }

    fn with(guard: Option<Guard>, local_sockets: bool) -> Self {
        Self(Arc::new(Inner {
            machine: this_machine(),
            local_sockets,
            guard,
        }))
    }

    /// Connects to what is at `location`. Fails without having sent anything that could begin work.
    pub async fn connect(&self, location: &Location) -> io::Result<Box<dyn Stream>> {
        let connected = tokio::time::timeout(HANDSHAKE_TIMEOUT, async {
            if self.is_local(location) {
                let stream = UnixStream::connect(&location.socket).await?;
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let endpoint = location.endpoint.as_deref();
            let endpoint = endpoint
                .ok_or_else(|| elsewhere("it is on another machine and has no address for others"))?;
            self.call(endpoint, &location.target).await
        });
        connected
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Connects to `target` of the node at `endpoint`.
    async fn call(&self, endpoint: &str, target: &str) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(endpoint).await?;
        stream.set_nodelay(true)?;
        let none = || elsewhere("it is on another machine, and nothing is set up for those");
        match self.0.guard.as_ref().ok_or_else(none)? {
            Guard::Tls(tls) => {
                let mut stream = tls.connect(endpoint, stream).await?;
                handshake::ask(&mut stream, target, None).await?;
                Ok(Box::new(stream))
            }
            Guard::Secret(secret) => {
                let mut stream = stream;
                handshake::ask(&mut stream, target, Some(secret)).await?;
                Ok(Box::new(stream))
            }
        }
    }

    /// Lets a caller in that has connected to this node; returns what it wants to reach, and the stream, on which nothing was said
    /// but the greeting. Fails when it is not one of ours.
    pub async fn admit(&self, stream: TcpStream, random: &dyn Random) -> io::Result<Admission> {
        let admitted = tokio::time::timeout(HANDSHAKE_TIMEOUT, async {
            stream.set_nodelay(true)?;
            let (mut stream, secret): (Box<dyn Stream>, _) = match &self.0.guard {
                Some(Guard::Tls(tls)) => (Box::new(tls.accept(stream).await?), None),
                Some(Guard::Secret(secret)) => (Box::new(stream), Some(secret)),
                None => return Err(elsewhere("nothing is set up for callers of other machines")),
            };
            let target = handshake::hear(&mut stream, secret, random).await?;
            Ok(Admission { target, stream })
        });
        admitted
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether what is at `location` is reached by its socket, and not through its node.
    pub fn is_local(&self, location: &Location) -> bool {
        let Inner {
            machine,
            local_sockets,
            ..
        } = &*self.0;
        match &location.endpoint {
            None => location.machine.is_none() || location.machine == *machine,
            Some(_) => *local_sockets && location.machine == *machine && location.socket.exists(),
        }
    }
}

/// A caller that was let in.
pub struct Admission {
    /// What it wants to reach.
    pub target: String,
    stream: Box<dyn Stream>,
}

impl Admission {
    /// Tells the caller that what it says from now on is heard by what it wants to reach.
    pub async fn accept(mut self) -> io::Result<Box<dyn Stream>> {
        handshake::accept(&mut self.stream).await?;
        Ok(self.stream)
    }

    /// Tells the caller why not.
    pub async fn refuse(mut self, reason: &str) -> io::Result<()> {
        handshake::refuse(&mut self.stream, reason).await
    }
}

/// What tells this machine, until its next start, from all others.
pub fn this_machine() -> Option<String> {
    let id = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
    Some(id.trim().to_owned())
}

fn elsewhere(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::HostUnreachable, why)
}
