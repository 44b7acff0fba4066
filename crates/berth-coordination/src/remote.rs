//! The in-process twin of another process, reached over a Unix socket: how the worker of `berth dev` shares its
//! coordination.
//!
//! Frames are JSON with their length in front. Requests carry a number, answers repeat it, and events come in between;
//! so one connection carries everything.

mod client;
mod frame;
mod server;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

pub use self::server::serve;

use self::client::{Client, Pending};
use self::frame::Call;
use crate::coordination::{Answer, Coordination, Throttle};
use crate::error::Error;
use crate::event::{EVENT_BUFFER, Event, Subscription, Topic};

/// How many calls may wait to be written.
const CALL_BUFFER: usize = 256;

/// Where the other process is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Path of its socket.
    pub path: PathBuf,
    /// How long an operation may take, connecting included.
    pub timeout: Duration,
}

impl Options {
    /// The usual options for the socket at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            timeout: Duration::from_secs(2),
        }
    }
}

/// Coordination in another process. Clones share one connection.
#[derive(Clone)]
pub struct Remote {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    timeout: Duration,
    calls: mpsc::Sender<Pending>,
    events: broadcast::Sender<Event>,
    connected: watch::Receiver<bool>,
    _client: AbortOnDropHandle<()>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Remote")
            .field("path", &self.shared.path)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// Coordination in the process that serves at the path that `options` name. It is connected in the background, and
    /// again whenever the connection is lost. Must be called within a tokio runtime.
    pub fn connect(options: Options) -> Self {
        let (calls, pending) = mpsc::channel(CALL_BUFFER);
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let (now_connected, connected) = watch::channel(false);
        let client = Client {
            path: options.path.clone(),
            calls: pending,
            events: events.clone(),
            connected: now_connected,
        };
        Self {
            shared: Arc::new(Shared {
                path: options.path,
                timeout: options.timeout,
                calls,
                events,
                connected,
                _client: AbortOnDropHandle::new(tokio::spawn(client.run())),
            }),
        }
    }

    fn call<'a, T: DeserializeOwned + Send + 'a>(
        &'a self,
        call: Call,
        attempted: impl Fn() -> String + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            let (reply, answer) = oneshot::channel();
            let exchange = async {
                // Either fails only when the connection is lost: the client lives as long as this.
                self.shared.calls.send(Pending { call, reply }).await.ok()?;
                answer.await.ok()
            };
            match tokio::time::timeout(self.shared.timeout, exchange).await {
                Ok(Some(value)) => serde_json::from_value(value).map_err(|source| Error::Refused {
                    attempted: attempted(),
                    source: source.into(),
                }),
                Ok(None) => Err(Error::Unavailable {
                    attempted: attempted(),
                    source: std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
                }),
                Err(_) => Err(Error::Timeout {
                    attempted: attempted(),
                    limit: self.shared.timeout,
                }),
            }
        }
        .boxed()
    }
}

impl Coordination for Remote {
    fn put<'a>(
        &'a self,
        collection: &'a str,
        id: &'a str,
        value: String,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        let call = Call::Put {
            collection: collection.to_owned(),
            id: id.to_owned(),
            value,
            ttl,
        };
        self.call(call, move || format!("store entry `{id}` of `{collection}`"))
    }

    fn get<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, Option<String>> {
        let call = Call::Get {
            collection: collection.to_owned(),
            id: id.to_owned(),
        };
        self.call(call, move || format!("read entry `{id}` of `{collection}`"))
    }

    fn list<'a>(&'a self, collection: &'a str) -> Answer<'a, Vec<(String, String)>> {
        let call = Call::List {
            collection: collection.to_owned(),
        };
        self.call(call, move || format!("list `{collection}`"))
    }

    fn remove<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, bool> {
        let call = Call::Remove {
            collection: collection.to_owned(),
            id: id.to_owned(),
        };
        self.call(call, move || format!("remove entry `{id}` of `{collection}`"))
    }

    fn acquire<'a>(&'a self, lease: &'a str, holder: &'a str, ttl: Duration) -> Answer<'a, bool> {
        let call = Call::Acquire {
            lease: lease.to_owned(),
            holder: holder.to_owned(),
            ttl,
        };
        self.call(call, move || format!("take the lease `{lease}`"))
    }

    fn release<'a>(&'a self, lease: &'a str, holder: &'a str) -> Answer<'a, ()> {
        let call = Call::Release {
            lease: lease.to_owned(),
            holder: holder.to_owned(),
        };
        self.call(call, move || format!("give back the lease `{lease}`"))
    }

    fn hit<'a>(&'a self, counter: &'a str, limit: u32, window: Duration) -> Answer<'a, Throttle> {
        let call = Call::Hit {
            counter: counter.to_owned(),
            limit,
            window,
        };
        // Counters are named after people and addresses, which do not belong into errors.
        self.call(call, || "count an attempt".to_owned())
    }

    fn clear<'a>(&'a self, counter: &'a str) -> Answer<'a, ()> {
        let call = Call::Clear {
            counter: counter.to_owned(),
        };
        self.call(call, || "clear a counter".to_owned())
    }

    fn publish<'a>(&'a self, topic: Topic, payload: &'a str) -> Answer<'a, ()> {
        let call = Call::Publish {
            topic,
            payload: payload.to_owned(),
        };
        self.call(call, move || format!("publish to `{topic}`"))
    }

    fn subscribe<'a>(&'a self, topics: &'a [Topic]) -> Answer<'a, Subscription> {
        async move {
            let mut connected = self.shared.connected.clone();
            // Whoever gives up waiting hears of a gap as soon as the connection is there.
            let _ =
                tokio::time::timeout(self.shared.timeout, connected.wait_for(|&connected| connected)).await;
            Ok(Subscription::new(self.shared.events.subscribe(), topics))
        }
        .boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        self.call(Call::Check, || "ask for a sign of life".to_owned())
    }
}
