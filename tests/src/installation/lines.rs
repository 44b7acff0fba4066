//! Lines between the processes of a cluster and the servers that they stand on, each of which can be cut.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use berth_domain::random::{Random as _, SystemRandom};
use berth_test_support::Line;

use super::cluster::Member;
use super::settings::Settings;

/// Ports that the system does not give to whoever asks for any: a process that is started again finds its own free.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A server outside of Berth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The database.
    Postgres,
    /// Coordination.
    Redis,
    /// The queue.
    RabbitMq,
}

impl Server {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::RabbitMq];

    /// Whether the process uses it.
    pub fn is_used_by(self, member: Member) -> bool {
        match self {
            Self::Postgres => !matches!(member, Member::Worker | Member::SecondWorker),
            Self::Redis => true,
            Self::RabbitMq => member == Member::Tasks,
        }
    }
}

/// A line of its own from each process to each server that it uses.
#[derive(Debug)]
pub struct Lines(Vec<Laid>);

/// One line, and the settings that lead a process to it.
#[derive(Debug)]
struct Laid {
    member: Member,
    server: Server,
    line: Line,
    settings: Vec<(&'static str, String)>,
    /// How many want it cut now.
    held: AtomicUsize,
    /// How often it was cut.
    cuts: AtomicU64,
}

impl Lines {
    /// Lays them all.
    pub(super) async fn lay(settings: &Settings) -> Result<Self> {
        let mut lines = Vec::new();
        for member in Member::ALL {
            for server in Server::ALL.into_iter().filter(|server| server.is_used_by(member)) {
                lines.push(Laid::new(member, server, settings).await?);
            }
        }
        Ok(Self(lines))
    }

    /// Has a process that is to be started use its lines.
    pub(super) fn lead(&self, member: Member, command: &mut Command) {
        for laid in self.of(member) {
            command.envs(laid.settings.iter().map(|(name, value)| (name, value)));
        }
    }

    /// Cuts the line of a process to a server, if it has one.
    pub fn cut(&self, member: Member, server: Server) {
        for laid in self.of(member).filter(|laid| laid.server == server) {
            laid.held.fetch_add(1, Ordering::SeqCst);
            laid.cuts.fetch_add(1, Ordering::SeqCst);
            laid.line.cut();
        }
    }

    /// Takes one [`Lines::cut`] back; the line is whole when all were taken back.
    pub fn mend(&self, member: Member, server: Server) {
        for laid in self.of(member).filter(|laid| laid.server == server) {
            if laid.held.fetch_sub(1, Ordering::SeqCst) == 1 {
                laid.line.mend();
            }
        }
    }

    /// How often lines of the process were cut until now, and whether one is cut now.
    pub fn cuts(&self, member: Member) -> (u64, bool) {
        let cuts = self.of(member).map(|laid| laid.cuts.load(Ordering::SeqCst));
        let is_cut = self.of(member).any(|laid| laid.held.load(Ordering::SeqCst) > 0);
        (cuts.sum(), is_cut)
    }

    fn of(&self, member: Member) -> impl Iterator<Item = &Laid> {
        self.0.iter().filter(move |laid| laid.member == member)
    }
}

impl Laid {
    async fn new(member: Member, server: Server, settings: &Settings) -> Result<Self> {
        let (line, settings) = match server {
            Server::Postgres => {
                let (line, app_url) = Line::to_url(&settings.database.app_url()).await?;
                let system_url = line.through(&settings.database.system_url())?;
                let settings = vec![
                    ("BERTH_DATABASE__URL", app_url),
                    ("BERTH_DATABASE__SYSTEM_URL", system_url),
                ];
                (line, settings)
            }
            Server::Redis => {
                let (line, url) = Line::to_url(settings.redis.url()).await?;
                (line, vec![("BERTH_REDIS__URL", url)])
            }
            Server::RabbitMq => {
                let (line, url) = Line::to_url(settings.broker.url()).await?;
                (line, vec![("BERTH_AMQP__URL", url)])
            }
        };
        Ok(Self {
            member,
            server,
            line,
            settings,
            held: AtomicUsize::new(0),
            cuts: AtomicU64::new(0),
        })
    }
}

/// An address to listen on that will be free again when its process has ended.
pub(super) fn lasting_address() -> Result<String> {
    let first = u16::from_le_bytes(SystemRandom.bytes());
    let free = (0..PORTS.len()).find_map(|step| {
        let port = PORTS.clone().nth((usize::from(first) + step) % PORTS.len())?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .is_ok()
            .then_some(port)
    });
    let port = free.context("no port is free")?;
    Ok(format!("127.0.0.1:{port}"))
}
