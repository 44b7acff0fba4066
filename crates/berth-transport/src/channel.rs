//! The way to one server: connections that are made when first used, and made again when they were lost.

use std::mem;
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tokio::runtime::{self, Handle};

use crate::connection::{Connection, Reply};
use crate::error::Error;
use crate::peers::{Location, Peers};

/// A larger body travels on a connection of its own.
const SHARED_BYTES: usize = 64 << 10;

/// How many connections for large bodies are kept for the next one.
const SPARE_CONNECTIONS: usize = 8;

/// The way to one server. Each Tokio runtime that calls has a connection of its own, made when it first calls: an answer then
/// comes in on the thread that waits for it, where a shared connection would wake another thread on each way.
#[derive(Debug)]
pub struct Channel {
    peers: Peers,
    location: Location,
    // As many as the process has threads that serve, so looking through them is the fastest.
    shared: RwLock<Vec<(runtime::Id, Connection)>>,
    spare: Mutex<Vec<(runtime::Id, Connection)>>,
}

impl Channel {
    /// The way to `location`. Nothing is connected yet.
    pub fn new(peers: Peers, location: Location) -> Self {
        Self {
            peers,
            location,
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
        let stream = self.peers.connect(&self.location).await;
        let (reading, writing) = tokio::io::split(stream.map_err(Error::Unreachable)?);
        Ok(Connection::start(reading, writing))
    }
}
