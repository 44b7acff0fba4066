//! The connection on which events arrive. It is made again whenever it is lost, and then everyone is told of a gap.

use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Client, Msg, RedisError, Value};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::link::classify;
use crate::error::Error;
use crate::event::{Event, Topic};

/// How often the server is asked for a sign of life: a line that is cut without a word would else go unnoticed.
const PING_EVERY: Duration = Duration::from_secs(1);
/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(50);

/// Hears what is published and tells the subscribers of this process.
pub(super) struct Listener {
    pub(super) client: Client,
    pub(super) channels: [(String, Topic); Topic::ALL.len()],
    pub(super) timeout: Duration,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) listening: watch::Sender<bool>,
}

impl Listener {
    pub(super) async fn run(self) {
        let mut wait = SHORTEST_WAIT;
        let mut complained = false;
        loop {
            let error = self.listen().await;
            let was_listening = self.listening.send_replace(false);
            if was_listening {
                wait = SHORTEST_WAIT;
                complained = false;
            }
            if !complained {
                // Once per outage, not once per attempt.
                tracing::warn!(%error, source = ?std::error::Error::source(&error), "events cannot be heard; trying again");
                complained = true;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Listens until something fails.
    async fn listen(&self) -> Error {
        match self.try_listen().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_listen(&self) -> Result<std::convert::Infallible, Error> {
        let (mut sink, mut messages) = self
            .limit("connect for events", self.client.get_async_pubsub())
            .await?
            .split();
        let names: Vec<_> = self.channels.iter().map(|(name, _)| name).collect();
        self.limit("subscribe to events", sink.subscribe(names)).await?;
        // From here on nothing is missed; what was published before may have been.
        let _ = self.events.send(Event::Gap);
        self.listening.send_replace(true);
        tracing::debug!("listening for events");

        let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.tell(&message),
                    None => return Err(lost()),
                },
                _ = pings.tick() => {
                    // Messages wait in the stream's buffer meanwhile.
                    self.limit("ask for a sign of life", sink.ping::<Value>()).await?;
                }
            }
        }
    }

    fn tell(&self, message: &Msg) {
        let name = message.get_channel_name();
        let topic = self
            .channels
            .iter()
            .find_map(|(channel, topic)| (channel == name).then_some(*topic));
        if let (Some(topic), Ok(payload)) = (topic, message.get_payload()) {
            // Sending fails only when nobody is subscribed.
            let _ = self.events.send(Event::Message { topic, payload });
        } else {
            tracing::warn!("an event that is not text, or of an unknown channel, is ignored");
        }
    }

    async fn limit<T>(
        &self,
        attempted: &str,
        operation: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, operation).await {
            Ok(outcome) => outcome.map_err(|error| classify(attempted.to_owned(), error)),
            Err(_) => Err(Error::Timeout {
                attempted: attempted.to_owned(),
                limit: self.timeout,
            }),
        }
    }
}

fn lost() -> Error {
    Error::Unavailable {
        attempted: "go on listening for events".to_owned(),
        source: std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
    }
}
