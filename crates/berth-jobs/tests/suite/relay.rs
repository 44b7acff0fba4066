//! From the outbox to the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_domain::id::{InvitationId, MessageId, VersionId};
use berth_domain::random::SystemRandom;
use berth_domain::work::{MailSend, ModelCheck, Work};
use berth_jobs::relay::{Error, Options, Relay};
use berth_queue::amqp;
use berth_queue::{Answer, Consumer, DeadLetter, Delivery, Handler, Message, Outcome, Queue};
use berth_test_support::{Line, TestBroker, wait_until};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::house::{House, LIMIT, amqp_queue, memory_queue};

fn relay(house: &House, queue: &Arc<dyn Queue>) -> Relay {
    let options = Options {
        every: Duration::from_millis(10),
        batch: 4,
        ..Options::default()
    };
    Relay::new(
        house.store.clone(),
        Arc::clone(queue),
        Arc::new(house.clock.clone()),
        options,
    )
}

fn broker() -> Arc<dyn Queue> {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    amqp_queue(broker.url(), &broker)
}

fn some_version(house: &House) -> VersionId {
    VersionId::new(&house.clock, &SystemRandom)
}

/// A consumer that is done with every message, and what it was handed.
fn consume(queue: &Arc<dyn Queue>) -> (Consumer, mpsc::UnboundedReceiver<Message>) {
    struct Collect(mpsc::UnboundedSender<Message>);

    impl Handler for Collect {
        fn handle<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
            let _ = self.0.send(delivery.message.clone());
            std::future::ready(Outcome::Done).boxed()
        }
    }

    let (seen, arrived) = mpsc::unbounded_channel();
    let consumer = queue
        .consume(ModelCheck::KIND, 4, Arc::new(Collect(seen)))
        .expect("consumes");
    (consumer, arrived)
}

async fn relays_what_was_committed(queue: Arc<dyn Queue>) {
    let house = House::new().await;
    let (_consumer, mut arrived) = consume(&queue);
    let versions: Vec<_> = (0..10).map(|_| some_version(&house)).collect();
    let mut ids = Vec::new();
    for &version in &versions {
        ids.push(house.ask_for_check(version).await);
    }
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay(&house, &queue).run(shutdown.clone()));
    let mut seen = Vec::new();
    for _ in 0..10 {
        let message = arrived.recv().await.expect("arrives");
        assert_eq!(message.organization, Some(house.organization));
        assert_eq!(message.created_at, house.now());
        let work: ModelCheck = message.work().expect("is understood");
        seen.push((message.id, work.version));
    }
    seen.sort_unstable();
    let mut expected: Vec<_> = ids.into_iter().zip(versions).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    wait_until(LIMIT, || async { house.backlog().await.waiting == 0 })
        .await
        .expect("the outbox is empty");
    shutdown.cancel();
    running.await.expect("ends in order");
    assert!(arrived.try_recv().is_err(), "nothing comes twice");
}

#[tokio::test]
async fn what_was_committed_is_relayed_over_memory() {
    relays_what_was_committed(memory_queue()).await;
}

#[tokio::test]
async fn what_was_committed_is_relayed_over_amqp() {
    relays_what_was_committed(broker()).await;
}

/// A queue that passes messages on and then never answers: as if the relay were killed in that moment.
#[derive(Debug)]
struct NeverAnswers {
    inner: Arc<dyn Queue>,
    published: AtomicUsize,
}

impl Queue for NeverAnswers {
    fn publish<'a>(&'a self, message: &'a Message) -> Answer<'a, ()> {
        async move {
            self.inner.publish(message).await?;
            self.published.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
        .boxed()
    }

    fn consume(
        &self,
        kind: &str,
        prefetch: u16,
        handler: Arc<dyn Handler>,
    ) -> Result<Consumer, berth_queue::Error> {
        self.inner.consume(kind, prefetch, handler)
    }

    fn depth<'a>(&'a self, kind: &'a str) -> Answer<'a, u64> {
        self.inner.depth(kind)
    }

    fn dead_letters(&self, limit: usize) -> Answer<'_, Vec<DeadLetter>> {
        self.inner.dead_letters(limit)
    }

    fn check(&self) -> Answer<'_, ()> {
        self.inner.check()
    }
}

async fn killed_after_publishing_loses_nothing(queue: Arc<dyn Queue>) {
    let house = House::new().await;
    let id = house.ask_for_check(some_version(&house)).await;
    let dying = Arc::new(NeverAnswers {
        inner: Arc::clone(&queue),
        published: AtomicUsize::new(0),
    });
    let as_queue: Arc<dyn Queue> = dying.clone();
    let first = tokio::spawn(relay(&house, &as_queue).run(CancellationToken::new()));
    wait_until(LIMIT, || async { dying.published.load(Ordering::SeqCst) == 1 })
        .await
        .expect("is published");
    first.abort();
    assert!(first.await.expect_err("was killed").is_cancelled());

    let second = relay(&house, &queue);
    wait_until(LIMIT, || async { second.batch().await.expect("relays") == 1 })
        .await
        .expect("the claim of the dead relay ends");
    assert_eq!(house.backlog().await.waiting, 0);
    let (_consumer, mut arrived) = consume(&queue);
    let twice: [MessageId; 2] = [
        arrived.recv().await.expect("arrives").id,
        arrived.recv().await.expect("arrives").id,
    ];
    assert_eq!(twice, [id, id], "at least once, and both are the same message");
}

#[tokio::test]
async fn relay_killed_between_publishing_and_removing_loses_nothing_over_memory() {
    killed_after_publishing_loses_nothing(memory_queue()).await;
}

#[tokio::test]
async fn relay_killed_between_publishing_and_removing_loses_nothing_over_amqp() {
    killed_after_publishing_loses_nothing(broker()).await;
}

#[tokio::test]
async fn several_relays_publish_each_message_once() {
    let house = House::new().await;
    let queue = memory_queue();
    let (_consumer, mut arrived) = consume(&queue);
    let mut expected = Vec::new();
    for _ in 0..30 {
        expected.push(house.ask_for_check(some_version(&house)).await);
    }
    let shutdown = CancellationToken::new();
    let relays: Vec<_> = (0..3)
        .map(|_| tokio::spawn(relay(&house, &queue).run(shutdown.clone())))
        .collect();
    wait_until(LIMIT, || async { house.backlog().await.waiting == 0 })
        .await
        .expect("the outbox is empty");
    shutdown.cancel();
    for relay in relays {
        relay.await.expect("ends in order");
    }
    let mut seen = Vec::new();
    for _ in 0..30 {
        seen.push(arrived.recv().await.expect("arrives").id);
    }
    assert!(arrived.try_recv().is_err());
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn outage_of_the_broker_keeps_messages_in_the_outbox() {
    let house = House::new().await;
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let (line, url) = Line::to_url(broker.url()).await.expect("is laid");
    let queue = amqp_queue(&url, &broker);
    line.cut();
    let id = house.ask_for_check(some_version(&house)).await;
    let shutdown = CancellationToken::new();
    let error = relay(&house, &queue)
        .batch()
        .await
        .expect_err("the broker is away");
    assert!(
        matches!(&error, Error::Queue(cause) if cause.is_transient()),
        "{error:?}"
    );
    assert_eq!(house.backlog().await.waiting, 1);
    let running = tokio::spawn(relay(&house, &queue).run(shutdown.clone()));
    line.mend();
    wait_until(LIMIT, || async { house.backlog().await.waiting == 0 })
        .await
        .expect("is relayed when the broker is back");
    shutdown.cancel();
    running.await.expect("ends in order");
    let (_consumer, mut arrived) = consume(&queue);
    assert_eq!(arrived.recv().await.expect("arrives").id, id);
}

/// A relay whose broker refuses it leaves everything where it is, for the one that the broker takes.
async fn messages_wait_for(house: &House, refused: &Arc<dyn Queue>, mended: &Arc<dyn Queue>) {
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(house.ask_for_check(some_version(house)).await);
    }
    for _ in 0..2 {
        let error = relay(house, refused).batch().await.expect_err("is refused");
        assert!(
            matches!(&error, Error::Queue(berth_queue::Error::Refused { .. })),
            "{error:?}"
        );
        let backlog = house.backlog().await;
        assert_eq!((backlog.waiting, backlog.parked), (3, 0));
    }
    assert_eq!(relay(house, mended).batch().await.expect("relays"), 3);
    let (_consumer, mut arrived) = consume(mended);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(arrived.recv().await.expect("arrives").id);
    }
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn messages_wait_while_the_password_is_wrong() {
    let house = House::new().await;
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let address = broker.url().rsplit_once('@').expect("has a user").1;
    let refused = amqp_queue(&format!("amqp://guest:wrong@{address}"), &broker);
    messages_wait_for(&house, &refused, &amqp_queue(broker.url(), &broker)).await;
}

#[tokio::test]
async fn messages_wait_while_the_queues_have_another_shape() {
    let house = House::new().await;
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let mended = amqp_queue(broker.url(), &broker);
    mended.check().await.expect("declares");
    let options = amqp::Options {
        prefix: broker.prefix().trim_end_matches('.').to_owned(),
        delivery_limit: 7,
        ..amqp::Options::new(broker.url())
    };
    let refused: Arc<dyn Queue> = Arc::new(amqp::Amqp::connect(&options).expect("well-formed"));
    messages_wait_for(&house, &refused, &mended).await;
}

#[tokio::test]
async fn letters_wait_for_a_process_that_sends_mail() {
    let house = House::new().await;
    let queue = memory_queue();
    let withheld = Options {
        withheld: vec![MailSend::KIND.to_owned()],
        ..Options::default()
    };
    let clock = Arc::new(house.clock.clone());
    let without = Relay::new(house.store.clone(), Arc::clone(&queue), clock, withheld);
    let letter = MailSend::Invitation(InvitationId::new(&house.clock, &SystemRandom));
    house.ask_for(&letter).await;
    house.ask_for_check(some_version(&house)).await;
    assert_eq!(without.batch().await.expect("relays"), 1, "the check alone");
    assert_eq!(without.batch().await.expect("relays"), 0);
    assert_eq!(house.backlog().await.waiting, 1);
    let behind = || async { without.left_behind().await.expect("counted").messages };
    assert_eq!(behind().await, 0, "another process may be about to take it");
    house.clock.advance(chrono::TimeDelta::minutes(1));
    assert_eq!(behind().await, 1);

    assert_eq!(relay(&house, &queue).batch().await.expect("relays"), 1);
    assert_eq!(house.backlog().await.waiting, 0);
    assert_eq!(queue.depth(MailSend::KIND).await.expect("answered"), 1);
    assert_eq!(behind().await, 0);
}

/// Work of a kind for which there is no queue.
#[derive(serde::Serialize, serde::Deserialize)]
struct Unheard {}

impl Work for Unheard {
    const KIND: &'static str = "unheard.of";
    const VERSION: u16 = 1;
}

#[tokio::test]
async fn message_that_can_never_be_published_is_set_aside_and_holds_nobody_up() {
    let house = House::new().await;
    let queue = memory_queue();
    house.ask_for(&Unheard {}).await;
    let id = house.ask_for_check(some_version(&house)).await;
    assert_eq!(relay(&house, &queue).batch().await.expect("relays"), 1);
    let backlog = house.backlog().await;
    assert_eq!((backlog.waiting, backlog.parked), (0, 1));
    let (_consumer, mut arrived) = consume(&queue);
    assert_eq!(arrived.recv().await.expect("arrives").id, id);
    assert_eq!(relay(&house, &queue).batch().await.expect("relays"), 0);
}
