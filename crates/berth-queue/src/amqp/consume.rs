//! Consuming: take, handle, and only then acknowledge.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use futures_util::stream::StreamExt as _;
use lapin::Channel;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
};
use lapin::types::FieldTable;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::errors::classify;
use super::link::Link;
use super::publish::Publisher;
use super::topology::attempt;
use crate::delivery::{Delivery, Handler, Outcome};
use crate::error::Error;
use crate::message::Message;

const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Takes messages of one kind, for as long as it is not stopped.
pub(super) struct Taker {
    pub(super) link: Arc<Link>,
    pub(super) publisher: Publisher,
    pub(super) kind: String,
    pub(super) prefetch: u16,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) stop: CancellationToken,
}

impl Taker {
    pub(super) async fn run(self) {
        let taker = Arc::new(self);
        let running = TaskTracker::new();
        let mut wait = SHORTEST_WAIT;
        let mut complained = false;
        while !taker.stop.is_cancelled() {
            let mut took_any = false;
            let Err(error) = taker.take(&running, &mut took_any).await else {
                break;
            };
            if took_any {
                wait = SHORTEST_WAIT;
                complained = false;
            }
            if !complained {
                // Once per outage, not once per attempt.
                tracing::warn!(%error, source = ?std::error::Error::source(&error), queue.kind = %taker.kind,
                    "messages cannot be taken; trying again");
                complained = true;
            }
            taker.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        running.close();
        running.wait().await;
    }

    /// Takes messages until something fails; `Ok` when it was stopped.
    async fn take(self: &Arc<Self>, running: &TaskTracker, took_any: &mut bool) -> Result<(), Error> {
        const ATTEMPTED: &str = "take messages";
        let begin = self.link.limit(ATTEMPTED, async {
            let (_, channel) = self.link.channel().await?;
            channel
                .basic_qos(self.prefetch, BasicQosOptions::default())
                .await?;
            let consumer = channel
                .basic_consume(
                    self.link.topology().queue(&self.kind),
                    "".into(),
                    BasicConsumeOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            Ok((channel, consumer))
        });
        let Some(begun) = self.stop.run_until_cancelled(begin).await else {
            return Ok(());
        };
        let (channel, mut deliveries) = begun?;
        while let Some(next) = self.stop.run_until_cancelled(deliveries.next()).await {
            // The stream ends when the queue is deleted, or fails over to another node.
            let delivery = next
                .unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()))
                .map_err(|error| classify(ATTEMPTED, error))?;
            *took_any = true;
            // The task keeps the channel open until it has acknowledged.
            running.spawn(Arc::clone(self).handle(channel.clone(), delivery));
        }
        // What the broker sent ahead and nobody began to handle goes back to the queue when the channel is closed.
        let cancel = channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default());
        self.link.limit(ATTEMPTED, cancel).await
    }

    async fn handle(self: Arc<Self>, _channel: Channel, delivery: lapin::message::Delivery) {
        let settled = match serde_json::from_slice::<Message>(&delivery.data) {
            Ok(message) => self.outcome(message, &delivery).await,
            Err(error) => {
                let reason = format!("the message is malformed: {error}");
                self.publisher
                    .bury(&delivery, attempt(&delivery), &reason)
                    .await
                    .map(|()| true)
            }
        };
        let acknowledged = match settled {
            Ok(true) => delivery.ack(BasicAckOptions::default()).await,
            Ok(false) => self.give_back(&delivery).await,
            Err(error) => {
                // It stays where it is and is handed out again: handled twice rather than lost.
                tracing::warn!(%error, source = ?std::error::Error::source(&error), queue.kind = %self.kind,
                    "a message could not be moved and is handed out again");
                self.give_back(&delivery).await
            }
        };
        if let Err(error) = acknowledged {
            tracing::debug!(%error, queue.kind = %self.kind, "a message was not acknowledged and is handed out again");
        }
    }

    /// Handles the message, and sees that it is safe where its outcome sends it. Tells whether it may be forgotten here.
    async fn outcome(&self, message: Message, delivery: &lapin::message::Delivery) -> Result<bool, Error> {
        let handed = Delivery {
            message,
            attempt: attempt(delivery),
            redelivered: delivery.redelivered,
        };
        match AssertUnwindSafe(self.handler.handle(&handed))
            .catch_unwind()
            .await
        {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Retry { after, reason }) => {
                let next = handed.attempt.saturating_add(1);
                self.publisher.again(delivery, next, after, &reason).await?;
            }
            Ok(Outcome::Fail { reason }) => {
                self.publisher.bury(delivery, handed.attempt, &reason).await?;
            }
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    async fn give_back(&self, delivery: &lapin::message::Delivery) -> Result<bool, lapin::Error> {
        let requeue = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        delivery.nack(requeue).await
    }
}
