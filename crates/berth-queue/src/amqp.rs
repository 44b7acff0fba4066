//! RabbitMQ, 3.10 or later.
//!
//! Everything is durable and replicated: quorum queues, confirmed publishing, acknowledgement after the outcome. A
//! message is never in no queue: where it moves (a retry, a dead letter), it is published to the next place and
//! confirmed there before it is acknowledged here; so it may be in two for a moment, and then it is handled twice.

mod consume;
mod errors;
mod link;
mod publish;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use berth_domain::secret::Secret;
use futures_util::future::FutureExt as _;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio_util::sync::CancellationToken;

use self::consume::Taker;
use self::link::Link;
use self::publish::Publisher;
use self::topology::Topology;
use crate::consumer::Consumer;
use crate::delivery::{DeadLetter, Handler};
use crate::error::Error;
use crate::message::Message;
use crate::queue::{Answer, Queue};

/// How to reach and use the broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// `amqp://` or `amqps://` address with user, password and virtual host.
    pub url: Secret,
    /// What the name of every queue and exchange begins with, so that several installations share a virtual host.
    pub prefix: String,
    /// The kinds of work for which there is a queue.
    pub kinds: Vec<String>,
    /// The delays that a retry can have; a retry waits for the first that is long enough, else for the last.
    pub ladder: Vec<Duration>,
    /// A message that was handed out and came back without an outcome more often than this goes to the dead letters.
    pub delivery_limit: u32,
    /// How long an operation may take, connecting included.
    pub timeout: Duration,
}

impl Options {
    /// The usual options for the broker at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url),
            prefix: "berth".to_owned(),
            kinds: berth_domain::work::KINDS.map(str::to_owned).to_vec(),
            ladder: [1, 5, 15, 60, 300, 1_800].map(Duration::from_secs).to_vec(),
            delivery_limit: 20,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Queues on a RabbitMQ broker. Clones share the connections: one to publish, and one to consume, which goes on
/// acknowledging when the broker, short of memory or disk, takes no more messages.
#[derive(Debug, Clone)]
pub struct Amqp {
    publisher: Publisher,
    consuming: Arc<Link>,
}

impl Amqp {
    /// The queues of the broker that `options` name. It is connected when it is first needed, and again whenever a
    /// connection is lost, declaring exchanges and queues each time; so this fails only when the address is malformed.
    pub fn connect(options: &Options) -> Result<Self, Error> {
        let topology = Arc::new(Topology::new(options));
        let link = |purpose| {
            Link::new(
                options.url.expose(),
                purpose,
                options.timeout,
                Arc::clone(&topology),
            )
            .map(Arc::new)
        };
        Ok(Self {
            publisher: Publisher::new(link("publish")?),
            consuming: link("consume")?,
        })
    }

    fn topology(&self) -> &Topology {
        self.consuming.topology()
    }

    fn known(&self, kind: &str) -> Result<(), Error> {
        if self.topology().has(kind) {
            Ok(())
        } else {
            Err(Error::UnknownKind {
                kind: kind.to_owned(),
            })
        }
    }
}

impl Queue for Amqp {
    fn publish<'a>(&'a self, message: &'a Message) -> Answer<'a, ()> {
        async move {
            self.known(&message.kind)?;
            let body = serde_json::to_vec(message).map_err(|source| Error::Unwritable {
                kind: message.kind.clone(),
                source,
            })?;
            self.publisher
                .first(&message.kind, &message.id.to_string(), &body)
                .await
        }
        .boxed()
    }

    fn consume(&self, kind: &str, prefetch: u16, handler: Arc<dyn Handler>) -> Result<Consumer, Error> {
        self.known(kind)?;
        let stop = CancellationToken::new();
        let taker = Taker {
            link: Arc::clone(&self.consuming),
            publisher: self.publisher.clone(),
            kind: kind.to_owned(),
            prefetch: prefetch.max(1),
            handler,
            stop: stop.clone(),
        };
        Ok(Consumer::new(stop, tokio::spawn(taker.run())))
    }

    fn depth<'a>(&'a self, kind: &'a str) -> Answer<'a, u64> {
        async move {
            self.known(kind)?;
            self.consuming
                .on_channel("count waiting messages", async |channel| {
                    let passive = QueueDeclareOptions {
                        passive: true,
                        ..QueueDeclareOptions::default()
                    };
                    let queue = channel
                        .queue_declare(self.topology().queue(kind), passive, FieldTable::default())
                        .await?;
                    Ok(u64::from(queue.message_count()))
                })
                .await
        }
        .boxed()
    }

    fn dead_letters(&self, limit: usize) -> Answer<'_, Vec<DeadLetter>> {
        // What is taken and not acknowledged goes back when the channel is closed.
        self.consuming
            .on_channel("look at dead letters", async move |channel| {
                let mut letters = Vec::new();
                while letters.len() < limit {
                    let next = channel
                        .basic_get(self.topology().dead_queue(), BasicGetOptions::default())
                        .await?;
                    let Some(next) = next else { break };
                    letters.push(topology::dead_letter(next.delivery));
                }
                Ok(letters)
            })
            .boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        self.consuming
            .on_channel("ask for a sign of life", async |_| Ok(()))
            .boxed()
    }
}
