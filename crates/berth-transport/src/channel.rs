//! The way to one server: connections that are made when first used, and made again when they were lost.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;
use std::{io, mem};

use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::runtime::{self, Handle};
use tokio::time::timeout;

use crate::connection::{Connection, Reply};
use crate::error::Error;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A larger body travels on a connection of its own.
const SHARED_BYTES: usize = 64 << 10;

/// How many connections for large bodies are kept for the next one.
const SPARE_CONNECTIONS: usize = 8;

/// The way to one server. Each Tokio runtime that calls has a connection of its own, made when it first calls: an answer then
/// comes in on the thread that waits for it, where a shared connection would wake another thread on each way.
#[derive(Debug)]
pub struct Channel {
    address: Address,
    // As many as the process has threads that serve, so looking through them is the fastest.
    shared: RwLock<Vec<(runtime::Id, Connection)>>,
    spare: Mutex<Vec<(runtime::Id, Connection)>>,
}

#[derive(Debug)]
enum Address {
    Unix(PathBuf),
    Unusable(String),
}

impl Channel {
    /// The way to `address` (`unix:` and a path). Nothing is connected yet.
    pub fn new(address: &str) -> Self {
        let address = match address.strip_prefix("unix:") {
            Some(path) => Address::Unix(PathBuf::from(path)),
            None => Address::Unusable(address.to_owned()),
        };
        Self {
            address,
            shared: RwLock::default(),
            spare: Mutex::default(),
        }
    }

    /// Makes a call. Dropping the future tells the server that the answer is no longer wanted. Needs a running Tokio runtime.
    pub async fn call(&self, method: u8, message: Bytes, body: Bytes) -> Result<Reply, Error> {
        if body.len() > SHARED_BYTES {
            return self.call_apart(method, message, body).await;
        }
        let connection = match self.known() {
            Some(connection) => connection,
            None => self.join().await?,
        };
        connection.call(method, message, body).await
    }

    /// Makes a call on a connection that no other call uses at the time.
    async fn call_apart(&self, method: u8, message: Bytes, body: Bytes) -> Result<Reply, Error> {
        let here = Handle::current().id();
        let connection = match self.take_spare(here) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let reply = connection.call(method, message, body).await;
        // One whose call was taken back has been dropped instead: much of the body may still be on its way.
        if reply.is_ok() {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < SPARE_CONNECTIONS {
                spare.push((here, connection));
            }
        }
        reply
    }

    fn take_spare(&self, here: runtime::Id) -> Option<Connection> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.retain(|(_, connection)| connection.is_open());
        let place = spare.iter().position(|(runtime, _)| *runtime == here)?;
        Some(spare.swap_remove(place).1)
    }

    /// The open connection of this runtime.
    fn known(&self) -> Option<Connection> {
        let here = Handle::current().id();
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let (_, connection) = shared.iter().find(|(runtime, _)| *runtime == here)?;
        connection.is_open().then(|| connection.clone())
    }

    /// Connects for this runtime; of several calls that do so at once, the last one's connection stays for the others to come.
    async fn join(&self) -> Result<Connection, Error> {
        let here = Handle::current().id();
        let connection = self.connect().await?;
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        match shared.iter_mut().find(|(runtime, _)| *runtime == here) {
            // Calls on the old one go on: each holds it.
            Some((_, known)) => drop(mem::replace(known, connection.clone())),
            None => shared.push((here, connection.clone())),
        }
        Ok(connection)
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let path = match &self.address {
            Address::Unix(path) => path,
            Address::Unusable(address) => return Err(Error::Address(address.clone())),
        };
        let connected = timeout(CONNECT_TIMEOUT, UnixStream::connect(path)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(Error::Unreachable)?;
        let (reading, writing) = stream.into_split();
        Ok(Connection::start(reading, writing))
    }
}
