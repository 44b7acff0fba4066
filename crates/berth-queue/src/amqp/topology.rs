//! What there is on the broker.
//!
//! ```text
//! work (direct)              kind ─→ <kind>         one quorum queue per kind
//! retry.<ms> (fanout)            ─→ retry.<ms>      holds messages for so long, then gives them back to `work`
//! dead (fanout)                  ─→ dead            dead letters of all kinds
//! ```
//!
//! Messages keep their kind as routing key everywhere, so a delay is shared by all kinds. (There is no exchange for
//! delayed messages in a plain broker, and the time to live of a single message does not help: only the head of a queue
//! expires. Hence a queue for each delay.) Queues that pass messages on do so at least once: the next queue confirms
//! before this one forgets.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::Options;
use crate::delivery::DeadLetter;

/// Header: how often the message was handed to a handler that asked for another try, the coming time included.
pub(super) const ATTEMPT: &str = "x-berth-attempt";
/// Header: why the message is where it is, in words.
pub(super) const REASON: &str = "x-berth-reason";
/// Header of the broker: why it moved the message first.
const FIRST_DEATH_REASON: &str = "x-first-death-reason";

/// The names and arguments of exchanges and queues.
#[derive(Debug)]
pub(super) struct Topology {
    prefix: String,
    kinds: Vec<String>,
    /// Never empty, shortest first.
    ladder: Vec<Duration>,
    delivery_limit: u32,
}

impl Topology {
    pub(super) fn new(options: &Options) -> Self {
        let mut ladder = options.ladder.clone();
        ladder.sort_unstable();
        ladder.dedup();
        if ladder.is_empty() {
            ladder.push(Duration::from_secs(1));
        }
        Self {
            prefix: options.prefix.clone(),
            kinds: options.kinds.clone(),
            ladder,
            delivery_limit: options.delivery_limit,
        }
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.kinds.iter().any(|known| known == kind)
    }

    /// Where work is published.
    pub(super) fn work(&self) -> ShortString {
        self.name("work")
    }

    /// The queue of a kind.
    pub(super) fn queue(&self, kind: &str) -> ShortString {
        self.name(kind)
    }

    /// Where what is to be tried again after `after` is published.
    pub(super) fn retry(&self, after: Duration) -> ShortString {
        let long_enough = self.ladder.iter().find(|&&step| step >= after);
        let step = long_enough.or(self.ladder.last()).copied().unwrap_or(after);
        self.step(step)
    }

    /// Where dead letters are published.
    pub(super) fn dead(&self) -> ShortString {
        self.name("dead")
    }

    /// The queue of dead letters.
    pub(super) fn dead_queue(&self) -> ShortString {
        self.name("dead")
    }

    /// Declares all of it; what is there already stays.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        self.exchange(channel, self.work(), ExchangeKind::Direct).await?;
        self.exchange(channel, self.dead(), ExchangeKind::Fanout).await?;
        self.queue_at(channel, self.dead_queue(), self.dead(), "", quorum())
            .await?;
        for kind in &self.kinds {
            let mut arguments = passing_on(&self.dead());
            arguments.insert(
                "x-delivery-limit".into(),
                AMQPValue::LongUInt(self.delivery_limit),
            );
            self.queue_at(channel, self.queue(kind), self.work(), kind, arguments)
                .await?;
        }
        for &step in &self.ladder {
            let mut arguments = passing_on(&self.work());
            let millis = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
            arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(millis));
            self.exchange(channel, self.step(step), ExchangeKind::Fanout)
                .await?;
            self.queue_at(channel, self.step(step), self.step(step), "", arguments)
                .await?;
        }
        Ok(())
    }

    fn name(&self, name: &str) -> ShortString {
        format!("{}.{name}", self.prefix).into()
    }

    fn step(&self, step: Duration) -> ShortString {
        self.name(&format!("retry.{}", step.as_millis()))
    }

    async fn exchange(
        &self,
        channel: &Channel,
        name: ShortString,
        kind: ExchangeKind,
    ) -> Result<(), lapin::Error> {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(name, kind, durable, FieldTable::default())
            .await
    }

    async fn queue_at(
        &self,
        channel: &Channel,
        name: ShortString,
        exchange: ShortString,
        key: &str,
        arguments: FieldTable,
    ) -> Result<(), lapin::Error> {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(name.clone(), durable, arguments).await?;
        channel
            .queue_bind(
                name,
                exchange,
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
    }
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments
}

/// The arguments of a queue that passes messages on at least once.
fn passing_on(exchange: &ShortString) -> FieldTable {
    let mut arguments = quorum();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-dead-letter-exchange".into(), text(exchange.as_str()));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    // The broker asks for it: a queue that drops messages when it is full cannot promise to pass them on.
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

/// How often a message was handed to a handler that asked for another try, this time included.
pub(super) fn attempt(delivery: &Delivery) -> u32 {
    match header(delivery, ATTEMPT) {
        Some(&AMQPValue::LongUInt(attempt)) => attempt,
        _ => 1,
    }
}

/// What a message in the queue of dead letters tells.
pub(super) fn dead_letter(delivery: Delivery) -> DeadLetter {
    let reason = [REASON, FIRST_DEATH_REASON]
        .into_iter()
        .find_map(|name| match header(&delivery, name) {
            Some(AMQPValue::LongString(reason)) => {
                Some(String::from_utf8_lossy(reason.as_bytes()).into_owned())
            }
            _ => None,
        });
    DeadLetter {
        kind: delivery.routing_key.to_string(),
        reason: reason.unwrap_or_default(),
        attempts: attempt(&delivery),
        body: delivery.data,
    }
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties.headers().as_ref()?.inner().get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_waits_for_the_first_step_that_is_long_enough() {
        let topology = Topology::new(&Options {
            prefix: "berth".to_owned(),
            ladder: [15, 1, 5, 5].map(Duration::from_secs).to_vec(),
            ..Options::new("amqp://localhost")
        });
        for (after_ms, expected) in [
            (0, "berth.retry.1000"),
            (1_000, "berth.retry.1000"),
            (1_001, "berth.retry.5000"),
            (15_000, "berth.retry.15000"),
            (900_000, "berth.retry.15000"),
        ] {
            assert_eq!(topology.retry(Duration::from_millis(after_ms)).as_str(), expected);
        }
    }
}
