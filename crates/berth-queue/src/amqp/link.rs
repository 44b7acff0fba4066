//! A connection to the broker: made when it is needed, thrown away when it fails or stalls. Whenever it is made, the
//! topology is declared, which heals a broker that has lost it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::Mutex;

use super::errors::classify;
use super::topology::Topology;
use crate::error::Error;

/// Seconds between two signs of life, unless the address says otherwise; a side that is silent for twice as long is dead.
const HEARTBEAT_SECONDS: u16 = 10;

/// One connection, shared.
pub(super) struct Link {
    uri: AMQPUri,
    purpose: &'static str,
    timeout: Duration,
    topology: Arc<Topology>,
    slot: Mutex<Slot>,
    /// The generation of the connection, 0 while there is none: to tell without waiting whether a channel is of it.
    live: AtomicU64,
}

/// The connection, and how many there were before it: whoever saw one fail throws away that one and no other.
#[derive(Default)]
struct Slot {
    generation: u64,
    connection: Option<Arc<Connection>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link")
            .field("purpose", &self.purpose)
            .field("topology", &self.topology)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(
        url: &str,
        purpose: &'static str,
        timeout: Duration,
        topology: Arc<Topology>,
    ) -> Result<Self, Error> {
        let mut uri: AMQPUri = url.parse().map_err(|reason: String| Error::Refused {
            attempted: "read the address of the broker",
            source: reason.into(),
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self {
            uri,
            purpose,
            timeout,
            topology,
            slot: Mutex::default(),
            live: AtomicU64::new(0),
        })
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Runs `operation` within the time limit. If that does not end, the connection may be dead without anyone having
    /// closed it: it is thrown away.
    pub(super) async fn limit<T>(
        &self,
        attempted: &'static str,
        operation: impl Future<Output = Result<T, lapin::Error>>,
    ) -> Result<T, Error> {
        if let Ok(outcome) = tokio::time::timeout(self.timeout, operation).await {
            return outcome.map_err(|error| classify(attempted, error));
        }
        self.discard(None).await;
        Err(Error::Timeout {
            attempted,
            limit: self.timeout,
        })
    }

    /// Runs `operation` on a channel of its own, which is closed afterwards.
    pub(super) async fn on_channel<T>(
        &self,
        attempted: &'static str,
        operation: impl AsyncFnOnce(&Channel) -> Result<T, lapin::Error>,
    ) -> Result<T, Error> {
        self.limit(attempted, async {
            let (_, channel) = self.channel().await?;
            let value = operation(&channel).await?;
            channel.close(200, "done".into()).await?;
            Ok(value)
        })
        .await
    }

    /// A new channel, and the generation of its connection.
    pub(super) async fn channel(&self) -> Result<(u64, Channel), lapin::Error> {
        let (generation, connection) = self.connection().await?;
        Ok((generation, connection.create_channel().await?))
    }

    /// Whether the connection of `generation` is still in use.
    pub(super) fn is_live(&self, generation: u64) -> bool {
        self.live.load(Ordering::Acquire) == generation
    }

    /// Throws the connection away: that of `generation`, or whichever there is.
    pub(super) async fn discard(&self, generation: Option<u64>) {
        let mut slot = self.slot.lock().await;
        if generation.is_none_or(|generation| generation == slot.generation) {
            slot.connection = None;
            self.live.store(0, Ordering::Release);
        }
    }

    async fn connection(&self) -> Result<(u64, Arc<Connection>), lapin::Error> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection
            && connection.status().connected()
        {
            return Ok((slot.generation, Arc::clone(connection)));
        }
        slot.connection = None;
        let name = format!("berth: {}", self.purpose);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
        let channel = connection.create_channel().await?;
        self.topology.declare(&channel).await?;
        channel.close(200, "declared".into()).await?;
        let connection = Arc::new(connection);
        slot.generation += 1;
        self.live.store(slot.generation, Ordering::Release);
        slot.connection = Some(Arc::clone(&connection));
        tracing::debug!(purpose = self.purpose, "connected to the broker");
        Ok((slot.generation, connection))
    }
}
