//! The real one: a Redis server, 7.0 or later.
//!
//! Each operation is one command or one script, so each is atomic, and all keys of one operation share a hash tag, so it
//! stays right where keys are spread over a cluster. A collection is a hash of values and a sorted set of expiries; the
//! key space is never scanned.

mod link;
mod listener;
mod scripts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use berth_domain::secret::Secret;
use futures_util::future::FutureExt as _;
use redis::{Cmd, Script, ToRedisArgs};
use tokio::sync::{broadcast, watch};
use tokio_util::task::AbortOnDropHandle;

use self::link::Link;
use self::scripts::{ACQUIRE, GET, HIT, LIST, NO_EXPIRY, PUT, RELEASE, REMOVE, Scripts};
use crate::coordination::{Answer, Coordination, Throttle};
use crate::error::Error;
use crate::event::{EVENT_BUFFER, Event, Subscription, Topic};

/// How to reach Redis.
#[derive(Debug, Clone)]
pub struct Options {
    /// `redis://`, `rediss://` (TLS) or `unix://` address, with user and password where needed. TLS uses the process's
    /// default provider.
    pub url: Secret,
    /// What every key and channel begins with, so that several installations share a server.
    pub prefix: String,
    /// How long an operation may take, connecting included.
    pub timeout: Duration,
}

impl Options {
    /// The usual options for the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            prefix: "berth".to_owned(),
            timeout: Duration::from_secs(2),
        }
    }
}

/// Coordination through Redis. Clones share one connection for operations and one for events.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    scripts: Scripts,
    prefix: String,
    events: broadcast::Sender<Event>,
    listening: watch::Receiver<bool>,
    _listener: AbortOnDropHandle<()>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redis")
            .field("prefix", &self.shared.prefix)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Coordination through the server that `options` name. It is connected when it is first needed, and again whenever
    /// the connection is lost; so this fails only when the address is malformed. Must be called within a tokio runtime.
    pub fn connect(options: Options) -> Result<Self, Error> {
        let link = Link::new(options.url.expose(), options.timeout)?;
        let (events, _) = broadcast::channel(EVENT_BUFFER);
        let (now_listening, listening) = watch::channel(false);
        let listener = listener::Listener {
            client: link.client().clone(),
            channels: Topic::ALL.map(|topic| (channel(&options.prefix, topic), topic)),
            timeout: options.timeout,
            events: events.clone(),
            listening: now_listening,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                link,
                scripts: Scripts::default(),
                prefix: options.prefix,
                events,
                listening,
                _listener: AbortOnDropHandle::new(tokio::spawn(listener.run())),
            }),
        })
    }

    /// The key of `part` of the thing called `name`; keys of one thing share a hash tag.
    fn key(&self, kind: &str, name: &str, part: &str) -> String {
        format!("{{{}:{kind}:{name}}}{part}", self.shared.prefix)
    }

    fn collection_keys(&self, collection: &str) -> [String; 2] {
        [
            self.key("entries", collection, ":values"),
            self.key("entries", collection, ":expiries"),
        ]
    }

    async fn script<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: impl ToRedisArgs,
        attempted: impl Fn() -> String,
    ) -> Result<T, Error> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        call.arg(arguments);
        self.shared
            .link
            .run(attempted, async |connection| call.invoke_async(connection).await)
            .await
    }

    async fn command<T: redis::FromRedisValue>(
        &self,
        command: Cmd,
        attempted: impl Fn() -> String,
    ) -> Result<T, Error> {
        self.shared
            .link
            .run(attempted, async |connection| {
                command.query_async(connection).await
            })
            .await
    }
}

fn channel(prefix: &str, topic: Topic) -> String {
    format!("{prefix}:events:{topic}")
}

fn millis(duration: Duration) -> u64 {
    // A time of no milliseconds would mean "for ever" or an error, depending on the command.
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX >> 12)
        .max(1)
}

impl Coordination for Redis {
    fn put<'a>(
        &'a self,
        collection: &'a str,
        id: &'a str,
        value: String,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool> {
        async move {
            let ttl = ttl.map_or_else(|| NO_EXPIRY.to_owned(), |ttl| millis(ttl).to_string());
            self.script(
                &self.shared.scripts[PUT],
                &self.collection_keys(collection),
                (id, value, ttl),
                || format!("store entry `{id}` of `{collection}`"),
            )
            .await
        }
        .boxed()
    }

    fn get<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, Option<String>> {
        async move {
            self.script(
                &self.shared.scripts[GET],
                &self.collection_keys(collection),
                id,
                || format!("read entry `{id}` of `{collection}`"),
            )
            .await
        }
        .boxed()
    }

    fn list<'a>(&'a self, collection: &'a str) -> Answer<'a, Vec<(String, String)>> {
        async move {
            let mut entries: Vec<(String, String)> = self
                .script(
                    &self.shared.scripts[LIST],
                    &self.collection_keys(collection),
                    &[] as &[&str],
                    || format!("list `{collection}`"),
                )
                .await?;
            entries.sort_unstable();
            Ok(entries)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, collection: &'a str, id: &'a str) -> Answer<'a, bool> {
        async move {
            self.script(
                &self.shared.scripts[REMOVE],
                &self.collection_keys(collection),
                id,
                || format!("remove entry `{id}` of `{collection}`"),
            )
            .await
        }
        .boxed()
    }

    fn acquire<'a>(&'a self, lease: &'a str, holder: &'a str, ttl: Duration) -> Answer<'a, bool> {
        async move {
            self.script(
                &self.shared.scripts[ACQUIRE],
                &[self.key("lease", lease, "")],
                (holder, millis(ttl)),
                || format!("take the lease `{lease}`"),
            )
            .await
        }
        .boxed()
    }

    fn release<'a>(&'a self, lease: &'a str, holder: &'a str) -> Answer<'a, ()> {
        async move {
            self.script(
                &self.shared.scripts[RELEASE],
                &[self.key("lease", lease, "")],
                holder,
                || format!("give back the lease `{lease}`"),
            )
            .await
        }
        .boxed()
    }

    fn hit<'a>(&'a self, counter: &'a str, limit: u32, window: Duration) -> Answer<'a, Throttle> {
        async move {
            let (allowed, used, left_ms): (bool, u32, u64) = self
                .script(
                    &self.shared.scripts[HIT],
                    &[self.key("counter", counter, "")],
                    (limit, millis(window)),
                    // Counters are named after people and addresses, which do not belong into errors.
                    || "count an attempt".to_owned(),
                )
                .await?;
            Ok(Throttle {
                allowed,
                used,
                retry_after: Duration::from_millis(left_ms),
            })
        }
        .boxed()
    }

    fn clear<'a>(&'a self, counter: &'a str) -> Answer<'a, ()> {
        async move {
            let mut command = redis::cmd("DEL");
            command.arg(self.key("counter", counter, ""));
            self.command(command, || "clear a counter".to_owned()).await
        }
        .boxed()
    }

    fn publish<'a>(&'a self, topic: Topic, payload: &'a str) -> Answer<'a, ()> {
        async move {
            let mut command = redis::cmd("PUBLISH");
            command.arg(channel(&self.shared.prefix, topic)).arg(payload);
            self.command(command, || format!("publish to `{topic}`")).await
        }
        .boxed()
    }

    fn subscribe<'a>(&'a self, topics: &'a [Topic]) -> Answer<'a, Subscription> {
        async move {
            let mut listening = self.shared.listening.clone();
            // Whoever gives up waiting hears of a gap as soon as the listener is there; the listener lives as long as
            // this, so the wait cannot fail otherwise.
            let _ = tokio::time::timeout(
                self.shared.link.timeout(),
                listening.wait_for(|&listening| listening),
            )
            .await;
            Ok(Subscription::new(self.shared.events.subscribe(), topics))
        }
        .boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        self.command(redis::cmd("PING"), || "ask for a sign of life".to_owned())
            .map(|pong| pong.map(|_: String| ()))
            .boxed()
    }
}
