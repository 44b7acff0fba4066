//! The connection on which operations run: made when it is needed, thrown away when it fails or stalls.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RetryMethod};
use tokio::sync::Mutex;

use crate::error::Error;

/// One multiplexed connection, shared by all operations.
pub(super) struct Link {
    client: Client,
    timeout: Duration,
    connection: Mutex<Slot>,
}

/// The connection, and how many there were before it: whoever saw one fail throws away that one and no other.
#[derive(Default)]
struct Slot {
    generation: u64,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, Error> {
        let client = Client::open(url)
            .map_err(|source| classify("read the address of the server".to_owned(), source))?;
        Ok(Self {
            client,
            timeout,
            connection: Mutex::default(),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs one operation within the time limit, connecting if need be.
    pub(super) async fn run<T>(
        &self,
        attempted: impl Fn() -> String,
        operation: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, Error> {
        // Set once there is a connection that can fail.
        let mut used = None;
        let outcome = tokio::time::timeout(self.timeout, async {
            let (generation, mut connection) = self.connection().await?;
            used = Some(generation);
            operation(&mut connection).await
        })
        .await;
        let (error, broken) = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => {
                let broken = error.is_unrecoverable_error();
                (classify(attempted(), error), broken)
            }
            // A connection on which nothing comes back may be dead without anyone having closed it.
            Err(_) => {
                let error = Error::Timeout {
                    attempted: attempted(),
                    limit: self.timeout,
                };
                (error, true)
            }
        };
        if let (true, Some(generation)) = (broken, used) {
            self.discard(generation).await;
        }
        Err(error)
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.generation, connection.clone()));
        }
        // The time limit is held by the caller.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        slot.generation += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.generation, connection))
    }

    async fn discard(&self, generation: u64) {
        let mut slot = self.connection.lock().await;
        if slot.generation == generation {
            slot.connection = None;
        }
    }
}

/// Tells a server that is away or busy from one that says no.
pub(super) fn classify(attempted: String, source: RedisError) -> Error {
    let away = matches!(source.kind(), ErrorKind::Io | ErrorKind::Parse)
        || !matches!(source.retry_method(), RetryMethod::NoRetry);
    let source = source.into();
    if away {
        Error::Unavailable { attempted, source }
    } else {
        Error::Refused { attempted, source }
    }
}
