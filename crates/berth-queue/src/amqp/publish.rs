//! Publishing: to the right place, and confirmed there.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Semaphore;

use super::link::Link;
use super::topology::{ATTEMPT, REASON};
use crate::error::Error;

/// How many messages are on their way at once.
const AT_ONCE: usize = 32;
/// What the protocol calls a message that is written to disk.
const PERSISTENT: u8 = 2;
/// Reasons are cut to this many characters: a header has to fit into one frame.
const REASON_CHARACTERS: usize = 2_000;
const ATTEMPTED: &str = "publish a message";

/// Publishes and waits for the broker's confirmation. Clones share the channels.
///
/// Each message that is on its way has a channel of its own: the client library gives a message that the broker returns
/// to whichever confirmation comes next on the channel, and so it would blame the wrong one if there were two.
#[derive(Clone)]
pub(super) struct Publisher {
    link: Arc<Link>,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<(u64, Channel)>>>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Publisher")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            idle: Arc::default(),
        }
    }

    /// Publishes a message that is new.
    pub(super) async fn first(&self, kind: &str, id: &str, body: &[u8]) -> Result<(), Error> {
        let properties = BasicProperties::default().with_message_id(ShortString::from(id));
        self.publish(self.link.topology().work(), kind.into(), body, properties)
            .await
    }

    /// Publishes what was delivered to the ladder of delays.
    pub(super) async fn again(
        &self,
        delivery: &Delivery,
        attempt: u32,
        after: Duration,
        reason: &str,
    ) -> Result<(), Error> {
        let exchange = self.link.topology().retry(after);
        self.pass_on(exchange, delivery, attempt, reason).await
    }

    /// Publishes what was delivered to the dead letters.
    pub(super) async fn bury(&self, delivery: &Delivery, attempt: u32, reason: &str) -> Result<(), Error> {
        let exchange = self.link.topology().dead();
        self.pass_on(exchange, delivery, attempt, reason).await
    }

    async fn pass_on(
        &self,
        exchange: ShortString,
        delivery: &Delivery,
        attempt: u32,
        reason: &str,
    ) -> Result<(), Error> {
        let reason: String = reason.chars().take(REASON_CHARACTERS).collect();
        // Not the headers that the broker added: its count of deliveries begins anew in the next queue.
        let mut headers = FieldTable::default();
        headers.insert(ATTEMPT.into(), AMQPValue::LongUInt(attempt));
        headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
        let mut properties = BasicProperties::default().with_headers(headers);
        if let Some(id) = delivery.properties.message_id() {
            properties = properties.with_message_id(id.clone());
        }
        self.publish(exchange, delivery.routing_key.clone(), &delivery.data, properties)
            .await
    }

    async fn publish(
        &self,
        exchange: ShortString,
        key: ShortString,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), Error> {
        let properties = properties
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into());
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        let mut used = None;
        let confirmed = self
            .link
            .limit(ATTEMPTED, async {
                let (generation, channel) = self.channel().await?;
                used = Some(generation);
                let confirmation = channel
                    .basic_publish(exchange, key.clone(), mandatory, body, properties)
                    .await?
                    .await?;
                self.idle().push((generation, channel));
                Ok(confirmation)
            })
            .await;
        match confirmed {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_))) => {
                // Somebody deleted the queue: the next connection declares it anew.
                self.link.discard(used).await;
                Err(Error::Unroutable {
                    kind: key.to_string(),
                })
            }
            Ok(Confirmation::Nack(_) | Confirmation::NotRequested) => {
                Err(Error::NotAccepted { attempted: ATTEMPTED })
            }
            Err(error) => {
                if used.is_some() {
                    self.link.discard(used).await;
                }
                Err(error)
            }
        }
    }

    /// A channel that nobody uses, in confirming mode.
    async fn channel(&self) -> Result<(u64, Channel), lapin::Error> {
        loop {
            let Some((generation, channel)) = self.idle().pop() else {
                break;
            };
            if self.link.is_live(generation) && channel.status().connected() {
                return Ok((generation, channel));
            }
        }
        let (generation, channel) = self.link.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((generation, channel))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Channel)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
