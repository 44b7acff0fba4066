//! The broker goes away and comes back, and somebody meddles with it.

#[path = "support/scene.rs"]
mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_queue::amqp::{self, Amqp};
use berth_queue::{Error, Outcome, Queue as _};
use berth_test_support::servers::rabbitmq;
use berth_test_support::{Line, TestBroker, wait_for, wait_until};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::sync::Notify;
use tokio::time::timeout;

use self::scene::{DELIVERY_LIMIT, KIND, LIMIT, OTHER_KIND, Scene, amqp_options, handler, message};

fn scene_at(url: &str, broker: &TestBroker) -> Scene {
    let options = amqp::Options {
        timeout: Duration::from_secs(2),
        ..amqp_options(url, broker)
    };
    Scene {
        queue: Arc::new(Amqp::connect(&options).expect("well-formed")),
    }
}

async fn raw_channel(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .expect("connects");
    let channel = connection.create_channel().await.expect("opens");
    (connection, channel)
}

fn name(broker: &TestBroker, name: &str) -> lapin::types::ShortString {
    format!("{}{name}", broker.prefix()).into()
}

async fn publish_until_accepted(scene: &Scene, number: u8) {
    let sent = message(KIND, number);
    wait_until(LIMIT, || async { scene.queue.publish(&sent).await.is_ok() })
        .await
        .expect("is accepted");
}

#[tokio::test]
async fn connection_is_lost_and_found_again() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let (line, url) = Line::to_url(broker.url()).await.expect("is laid");
    let scene = scene_at(&url, &broker);
    let (_consumer, mut arrived) = scene.consume(KIND, 4);
    scene.queue.publish(&message(KIND, 1)).await.expect("published");
    assert_eq!(arrived.recv().await.expect("arrives").message, message(KIND, 1));

    line.cut();
    let error = wait_for(LIMIT, || async {
        scene.queue.publish(&message(KIND, 2)).await.err()
    })
    .await
    .expect("the outage is noticed");
    assert!(error.is_transient(), "{error}");

    line.mend();
    publish_until_accepted(&scene, 3).await;
    let next = wait_for(LIMIT, || {
        let next = arrived.try_recv().ok();
        async { next.filter(|delivery| delivery.message == message(KIND, 3)) }
    });
    next.await.expect("the same consumer goes on");
}

#[tokio::test]
async fn message_in_hand_when_the_connection_is_lost_is_handed_out_again() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let (line, url) = Line::to_url(broker.url()).await.expect("is laid");
    let scene = scene_at(&url, &broker);
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handled = Arc::new(AtomicUsize::new(0));
    let (inside, counted) = ((Arc::clone(&begun), Arc::clone(&go_on)), Arc::clone(&handled));
    let _consumer = scene
        .queue
        .consume(
            KIND,
            1,
            handler(move |delivery| {
                let ((begun, go_on), handled) = (inside.clone(), Arc::clone(&counted));
                async move {
                    if !delivery.redelivered {
                        begun.notify_one();
                        go_on.notified().await;
                    }
                    handled.fetch_add(1, Ordering::SeqCst);
                    Outcome::Done
                }
            }),
        )
        .expect("consumes");
    scene.queue.publish(&message(KIND, 1)).await.expect("published");
    begun.notified().await;
    line.cut();
    wait_until(LIMIT, || async { scene.queue.check().await.is_err() })
        .await
        .expect("the outage is noticed");
    line.mend();
    wait_until(LIMIT, || async { handled.load(Ordering::SeqCst) == 1 })
        .await
        .expect("it is handed out again");
    go_on.notify_one();
    wait_until(LIMIT, || async { handled.load(Ordering::SeqCst) == 2 })
        .await
        .expect("the first attempt ends");
    scene.wait_for_depth(KIND, 0).await;
    // Acknowledged on the connection that lives, so it does not come a third time.
    publish_until_accepted(&scene, 2).await;
    begun.notified().await;
    go_on.notify_one();
    wait_until(LIMIT, || async { handled.load(Ordering::SeqCst) == 3 })
        .await
        .expect("the consumer goes on");
}

#[tokio::test]
async fn broker_that_was_away_at_first_is_used_when_it_comes() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let (line, url) = Line::to_url(broker.url()).await.expect("is laid");
    line.cut();
    let scene = scene_at(&url, &broker);
    let (_consumer, mut arrived) = scene.consume(KIND, 1);
    let error = scene.queue.check().await.expect_err("is away");
    assert!(error.is_transient(), "{error}");
    line.mend();
    publish_until_accepted(&scene, 1).await;
    let delivery = timeout(LIMIT, arrived.recv())
        .await
        .expect("in time")
        .expect("arrives");
    assert_eq!(delivery.message, message(KIND, 1));
}

#[tokio::test]
async fn bytes_that_are_no_message_end_as_a_dead_letter() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let scene = scene_at(broker.url(), &broker);
    scene.queue.check().await.expect("declares");
    let (_connection, channel) = raw_channel(broker.url()).await;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("confirms");
    for body in [&b"\xff\xfe"[..], b"", b"{\"version\":1}"] {
        channel
            .basic_publish(
                name(&broker, "work"),
                KIND.into(),
                BasicPublishOptions::default(),
                body,
                BasicProperties::default(),
            )
            .await
            .expect("sent")
            .await
            .expect("stored");
    }
    let (_consumer, mut arrived) = scene.consume(KIND, 1);
    let letters = scene.wait_for_dead_letters(3).await;
    for letter in &letters {
        assert!(
            letter.reason.starts_with("the message is malformed: "),
            "{letter:?}"
        );
        assert_eq!(letter.kind, KIND);
    }
    assert_eq!(letters[0].body, b"\xff\xfe");
    assert!(arrived.try_recv().is_err(), "no handler sees them");
    publish_until_accepted(&scene, 7).await;
    assert_eq!(arrived.recv().await.expect("arrives").message, message(KIND, 7));
}

#[tokio::test]
async fn message_to_a_queue_that_was_deleted_is_an_error_and_the_queue_comes_back() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let scene = scene_at(broker.url(), &broker);
    scene
        .queue
        .publish(&message(OTHER_KIND, 1))
        .await
        .expect("published");
    let (_connection, channel) = raw_channel(broker.url()).await;
    channel
        .queue_delete(name(&broker, OTHER_KIND), QueueDeleteOptions::default())
        .await
        .expect("deleted");
    // Others are on their way at the same time, and none of them is blamed.
    let (lost, others) = tokio::join!(
        async { scene.queue.publish(&message(OTHER_KIND, 2)).await },
        futures_util::future::join_all((0..20).map(|number| {
            let scene = &scene;
            async move { scene.queue.publish(&message(KIND, number)).await }
        })),
    );
    let error = lost.expect_err("has no queue");
    assert!(
        matches!(&error, Error::Unroutable { kind } if kind == OTHER_KIND),
        "{error}"
    );
    assert!(error.is_transient());
    assert!(others.iter().all(Result::is_ok), "{others:?}");
    wait_until(LIMIT, || async {
        scene.queue.publish(&message(OTHER_KIND, 3)).await.is_ok()
    })
    .await
    .expect("the queue is declared anew");
    scene.wait_for_depth(OTHER_KIND, 1).await;
}

#[tokio::test]
async fn queue_deleted_under_a_consumer_comes_back_and_is_consumed() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let scene = scene_at(broker.url(), &broker);
    let (_consumer, mut arrived) = scene.consume(KIND, 1);
    publish_until_accepted(&scene, 1).await;
    arrived.recv().await.expect("arrives");
    let (_connection, channel) = raw_channel(broker.url()).await;
    channel
        .queue_delete(name(&broker, KIND), QueueDeleteOptions::default())
        .await
        .expect("deleted");
    publish_until_accepted(&scene, 2).await;
    let delivery = timeout(LIMIT, arrived.recv())
        .await
        .expect("in time")
        .expect("arrives");
    assert_eq!(delivery.message, message(KIND, 2));
}

#[tokio::test]
async fn queue_of_another_shape_is_refused_in_words() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    scene_at(broker.url(), &broker)
        .queue
        .check()
        .await
        .expect("declares");
    let options = amqp::Options {
        delivery_limit: DELIVERY_LIMIT + 1,
        ..amqp_options(broker.url(), &broker)
    };
    let error = Amqp::connect(&options)
        .expect("well-formed")
        .check()
        .await
        .expect_err("differs from what is there");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let cause = std::error::Error::source(&error)
        .expect("has a cause")
        .to_string();
    assert!(cause.contains("x-delivery-limit"), "{cause}");
}

#[tokio::test]
async fn wrong_password_is_refused_without_showing_it() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let address = broker.url().rsplit_once('@').expect("has a user").1;
    let options = amqp_options(&format!("amqp://guest:hunter2@{address}"), &broker);
    let error = Amqp::connect(&options)
        .expect("well-formed")
        .check()
        .await
        .expect_err("is refused");
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(!format!("{error:?} {options:?}").contains("hunter2"));
    let error = Amqp::connect(&amqp_options("amqp://guest:hunter2@[", &broker)).expect_err("is malformed");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn messages_survive_a_broker_that_is_killed_and_started_again() {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let start = move |port| {
        let mut options = rabbitmq::Options::new(root.clone());
        options.port = port;
        tokio::task::spawn_blocking(move || rabbitmq::Server::start(&options).expect("starts"))
    };
    let server = start(None).await.expect("starts");
    let (url, port) = (server.url(), server.port());
    let scene = scene_at(&url, &broker);
    let _failing = scene
        .queue
        .consume(
            OTHER_KIND,
            1,
            handler(|_| async {
                Outcome::Retry {
                    after: Duration::ZERO,
                    reason: "not yet".to_owned(),
                }
            }),
        )
        .expect("consumes");
    scene
        .queue
        .publish(&message(OTHER_KIND, 9))
        .await
        .expect("published");
    for number in 0..10 {
        scene
            .queue
            .publish(&message(KIND, number))
            .await
            .expect("published");
    }
    tokio::task::spawn_blocking(move || server.kill().expect("is killed"))
        .await
        .expect("is killed");
    scene.queue.check().await.expect_err("is away");

    let _server = start(Some(port)).await.expect("starts");
    let (_consumer, mut arrived) = scene.consume(KIND, 10);
    let mut numbers = Vec::new();
    while numbers.len() < 10 {
        let delivery = timeout(LIMIT, arrived.recv())
            .await
            .expect("in time")
            .expect("arrives");
        numbers.push(delivery.message.payload.as_u64().expect("a number"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    publish_until_accepted(&scene, 77).await;
    let delivery = timeout(LIMIT, arrived.recv())
        .await
        .expect("in time")
        .expect("arrives");
    assert_eq!(delivery.message, message(KIND, 77));
}
