//! What the tests of queues share.

use std::sync::Arc;
use std::time::Duration;

use berth_domain::clock::Timestamp;
use berth_domain::id::MessageId;
use berth_queue::amqp;
use berth_queue::{Consumer, DeadLetter, Delivery, Handler, Message, Outcome, Queue};
use berth_test_support::{TestBroker, wait_for, wait_until};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const KIND: &str = "model.check";
pub(crate) const OTHER_KIND: &str = "mail.send";
pub(crate) const DELIVERY_LIMIT: u32 = 3;

/// A queue of one kind or the other.
pub(crate) struct Scene {
    pub(crate) queue: Arc<dyn Queue>,
}

/// The options of a broker that forgets this test's queues when the test does not clean up: they have a name of their
/// own, and the test server lives only as long as the tests.
pub(crate) fn amqp_options(url: &str, broker: &TestBroker) -> amqp::Options {
    amqp::Options {
        prefix: broker.prefix().trim_end_matches('.').to_owned(),
        ladder: [100, 300].map(Duration::from_millis).to_vec(),
        delivery_limit: DELIVERY_LIMIT,
        ..amqp::Options::new(url)
    }
}

impl Scene {
    /// A consumer that is done with every message, and what it was handed.
    pub(crate) fn consume(&self, kind: &str, prefetch: u16) -> (Consumer, mpsc::UnboundedReceiver<Delivery>) {
        let (seen, arrived) = mpsc::unbounded_channel();
        let done = handler(move |delivery| {
            let _ = seen.send(delivery);
            async { Outcome::Done }
        });
        (
            self.queue.consume(kind, prefetch, done).expect("consumes"),
            arrived,
        )
    }

    pub(crate) async fn wait_for_depth(&self, kind: &str, expected: u64) {
        wait_until(LIMIT, || async {
            self.queue.depth(kind).await.ok() == Some(expected)
        })
        .await
        .expect("as many wait as expected");
    }

    pub(crate) async fn wait_for_dead_letters(&self, count: usize) -> Vec<DeadLetter> {
        wait_for(LIMIT, || async {
            let letters = self.queue.dead_letters(100).await.ok()?;
            (letters.len() == count).then_some(letters)
        })
        .await
        .expect("as many dead letters as expected")
    }
}

/// A handler made of a function.
pub(crate) fn handler<F, R>(work: F) -> Arc<dyn Handler>
where
    F: Fn(Delivery) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    struct Function<F>(F);

    impl<F, R> Handler for Function<F>
    where
        F: Fn(Delivery) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
            (self.0)(delivery.clone()).boxed()
        }
    }

    Arc::new(Function(work))
}

/// The message with this number.
pub(crate) fn message(kind: &str, number: u8) -> Message {
    Message {
        version: 1,
        id: MessageId::from_uuid(uuid::Uuid::from_u128(u128::from(number) + 1)),
        kind: kind.to_owned(),
        organization: None,
        payload: number.into(),
        traceparent: None,
        created_at: Timestamp::UNIX_EPOCH,
    }
}
