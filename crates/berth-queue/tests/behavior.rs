//! One suite over both queues: what holds of one holds of the other.

#[path = "support/scene.rs"]
mod scene;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_queue::amqp::Amqp;
use berth_queue::memory::{self, Memory};
use berth_queue::{Delivery, Error, Outcome};
use berth_test_support::{TestBroker, wait_until};
use tokio::sync::{Barrier, Notify};
use tokio::time::Instant;

use self::scene::{DELIVERY_LIMIT, KIND, LIMIT, OTHER_KIND, Scene, amqp_options, handler, message};

fn memory() -> Scene {
    let options = memory::Options {
        delivery_limit: DELIVERY_LIMIT,
        ..memory::Options::default()
    };
    Scene {
        queue: Arc::new(Memory::new(options)),
    }
}

fn amqp() -> Scene {
    let broker = TestBroker::new().expect("a RabbitMQ is named");
    let queue = Amqp::connect(&amqp_options(broker.url(), &broker)).expect("well-formed");
    Scene {
        queue: Arc::new(queue),
    }
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod over_memory { $(#[tokio::test] async fn $name() { super::$name(super::memory()).await; })* }
        mod over_amqp { $(#[tokio::test] async fn $name() { super::$name(super::amqp()).await; })* }
    };
}

suite! {
    message_arrives_as_it_was_published
    messages_wait_for_a_consumer_and_are_counted
    every_message_is_handled_once_by_one_of_several_consumers
    no_more_than_the_prefetch_are_handled_at_once
    message_that_asks_for_it_comes_again_and_not_too_early
    message_that_fails_is_a_dead_letter_with_its_reason
    message_whose_handler_panics_comes_again_and_ends_as_a_dead_letter
    kinds_have_queues_of_their_own
    unknown_kind_is_refused
    stopped_consumer_finishes_what_it_has_and_leaves_the_rest
    dead_letters_stay_where_they_are
    check_succeeds
}

async fn message_arrives_as_it_was_published(scene: Scene) {
    let mut sent = message(KIND, 1);
    sent.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    sent.payload = serde_json::json!({ "text": "ü\u{0}\n", "number": 12_345_678_901_234_i64, "none": null });
    scene.queue.publish(&sent).await.expect("published");
    let (_consumer, mut arrived) = scene.consume(KIND, 1);
    let delivery: Delivery = arrived.recv().await.expect("arrives");
    assert_eq!(delivery.message, sent);
    assert_eq!((delivery.attempt, delivery.redelivered), (1, false));
}

async fn messages_wait_for_a_consumer_and_are_counted(scene: Scene) {
    for number in 0..5 {
        scene
            .queue
            .publish(&message(KIND, number))
            .await
            .expect("published");
    }
    scene.wait_for_depth(KIND, 5).await;
    let (_consumer, mut arrived) = scene.consume(KIND, 1);
    for number in 0..5 {
        let delivery = arrived.recv().await.expect("arrives");
        assert_eq!(delivery.message, message(KIND, number), "in order");
    }
    scene.wait_for_depth(KIND, 0).await;
}

async fn every_message_is_handled_once_by_one_of_several_consumers(scene: Scene) {
    let (_first, mut by_first) = scene.consume(KIND, 5);
    let (_second, mut by_second) = scene.consume(KIND, 5);
    let messages: Vec<_> = (0..60).map(|number| message(KIND, number)).collect();
    futures_util::future::try_join_all(messages.iter().map(|message| scene.queue.publish(message)))
        .await
        .expect("published");
    let mut handled = Vec::new();
    while handled.len() < messages.len() {
        let delivery = tokio::select! {
            Some(delivery) = by_first.recv() => delivery,
            Some(delivery) = by_second.recv() => delivery,
        };
        handled.push(delivery.message.id);
    }
    handled.sort_unstable();
    let mut expected: Vec<_> = messages.iter().map(|message| message.id).collect();
    expected.sort_unstable();
    assert_eq!(handled, expected);
    scene.wait_for_depth(KIND, 0).await;
    assert!(by_first.try_recv().is_err() && by_second.try_recv().is_err());
}

async fn no_more_than_the_prefetch_are_handled_at_once(scene: Scene) {
    for number in 0..9 {
        scene
            .queue
            .publish(&message(KIND, number))
            .await
            .expect("published");
    }
    // Three meet and go on together, three times; a fourth would not fit, and with two nobody would go on.
    let together = Arc::new(Barrier::new(3));
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, done) = (
        (Arc::clone(&inside), Arc::clone(&most)),
        Arc::new(AtomicUsize::new(0)),
    );
    let finished = Arc::clone(&done);
    let _consumer = scene
        .queue
        .consume(
            KIND,
            3,
            handler(move |_| {
                let (together, (inside, most)) = (Arc::clone(&together), counts.clone());
                let finished = Arc::clone(&finished);
                async move {
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    together.wait().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    finished.fetch_add(1, Ordering::SeqCst);
                    Outcome::Done
                }
            }),
        )
        .expect("consumes");
    wait_until(LIMIT, || async { done.load(Ordering::SeqCst) == 9 })
        .await
        .expect("all are handled");
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

async fn message_that_asks_for_it_comes_again_and_not_too_early(scene: Scene) {
    const AFTER: Duration = Duration::from_millis(150);
    let (seen, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let _consumer = scene
        .queue
        .consume(
            KIND,
            1,
            handler(move |delivery| {
                let attempt = delivery.attempt;
                let _ = seen.send((delivery, Instant::now()));
                async move {
                    if attempt < 3 {
                        Outcome::Retry {
                            after: AFTER,
                            reason: "not yet".to_owned(),
                        }
                    } else {
                        Outcome::Done
                    }
                }
            }),
        )
        .expect("consumes");
    let sent = message(KIND, 1);
    scene.queue.publish(&sent).await.expect("published");
    let mut before: Option<Instant> = None;
    for attempt in 1..=3 {
        let (delivery, at) = arrived.recv().await.expect("arrives");
        assert_eq!(delivery.message, sent);
        assert_eq!(delivery.attempt, attempt);
        if let Some(before) = before {
            let waited = at - before;
            assert!(waited >= AFTER, "attempt {attempt} came after {waited:?}");
        }
        before = Some(at);
    }
    assert_eq!(scene.queue.dead_letters(10).await.expect("answered"), []);
}

async fn message_that_fails_is_a_dead_letter_with_its_reason(scene: Scene) {
    let _consumer = scene
        .queue
        .consume(
            KIND,
            1,
            handler(|delivery| async move {
                if delivery.attempt == 1 {
                    return Outcome::Retry {
                        after: Duration::ZERO,
                        reason: "once more".to_owned(),
                    };
                }
                Outcome::Fail {
                    reason: "the version is gone, für immer".to_owned(),
                }
            }),
        )
        .expect("consumes");
    let sent = message(KIND, 1);
    scene.queue.publish(&sent).await.expect("published");
    let letters = scene.wait_for_dead_letters(1).await;
    assert_eq!(letters[0].kind, KIND);
    assert_eq!(letters[0].reason, "the version is gone, für immer");
    assert_eq!(letters[0].attempts, 2);
    let body: berth_queue::Message = serde_json::from_slice(&letters[0].body).expect("a message");
    assert_eq!(body, sent);
}

async fn message_whose_handler_panics_comes_again_and_ends_as_a_dead_letter(scene: Scene) {
    let (seen, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let _consumer = scene
        .queue
        .consume(
            KIND,
            1,
            handler(move |delivery| {
                let _ = seen.send(delivery.redelivered);
                crash()
            }),
        )
        .expect("consumes");
    scene.queue.publish(&message(KIND, 1)).await.expect("published");
    let letters = scene.wait_for_dead_letters(1).await;
    assert_eq!(letters[0].reason, "delivery_limit");
    let mut redelivered = Vec::new();
    while let Ok(seen) = arrived.try_recv() {
        redelivered.push(seen);
    }
    let mut expected = vec![true; usize::try_from(DELIVERY_LIMIT).expect("small") + 1];
    expected[0] = false;
    assert_eq!(redelivered, expected);
}

#[expect(clippy::panic, reason = "what happens then is the subject")]
fn crash() -> impl Future<Output = Outcome> {
    std::future::poll_fn(|_| panic!("a planted bug"))
}

async fn kinds_have_queues_of_their_own(scene: Scene) {
    scene
        .queue
        .publish(&message(OTHER_KIND, 1))
        .await
        .expect("published");
    scene.queue.publish(&message(KIND, 2)).await.expect("published");
    let (_consumer, mut arrived) = scene.consume(KIND, 5);
    assert_eq!(arrived.recv().await.expect("arrives").message, message(KIND, 2));
    scene.wait_for_depth(KIND, 0).await;
    scene.wait_for_depth(OTHER_KIND, 1).await;
    assert!(arrived.try_recv().is_err());
}

async fn unknown_kind_is_refused(scene: Scene) {
    let error = scene
        .queue
        .publish(&message("unheard.of", 1))
        .await
        .expect_err("is unknown");
    assert!(
        matches!(&error, Error::UnknownKind { kind } if kind == "unheard.of"),
        "{error}"
    );
    assert!(!error.is_transient());
    let consumer = scene
        .queue
        .consume("unheard.of", 1, handler(|_| async { Outcome::Done }));
    assert!(matches!(consumer, Err(Error::UnknownKind { .. })));
    let depth = scene.queue.depth("unheard.of").await;
    assert!(matches!(depth, Err(Error::UnknownKind { .. })));
}

async fn stopped_consumer_finishes_what_it_has_and_leaves_the_rest(scene: Scene) {
    for number in 0..3 {
        scene
            .queue
            .publish(&message(KIND, number))
            .await
            .expect("published");
    }
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handled = Arc::new(AtomicUsize::new(0));
    let inside = (Arc::clone(&begun), Arc::clone(&go_on), Arc::clone(&handled));
    let consumer = scene
        .queue
        .consume(
            KIND,
            1,
            handler(move |_| {
                let (begun, go_on, handled) = inside.clone();
                async move {
                    begun.notify_one();
                    go_on.notified().await;
                    handled.fetch_add(1, Ordering::SeqCst);
                    Outcome::Done
                }
            }),
        )
        .expect("consumes");
    begun.notified().await;
    let stopped = tokio::spawn(consumer.stop());
    tokio::task::yield_now().await;
    assert!(
        !stopped.is_finished(),
        "it waits for the message that is being handled"
    );
    go_on.notify_one();
    stopped.await.expect("stops");
    assert_eq!(handled.load(Ordering::SeqCst), 1);

    let (_next, mut arrived) = scene.consume(KIND, 1);
    for number in 1..3 {
        assert_eq!(
            arrived.recv().await.expect("arrives").message,
            message(KIND, number)
        );
    }
    scene.wait_for_depth(KIND, 0).await;
}

async fn dead_letters_stay_where_they_are(scene: Scene) {
    let _consumer = scene
        .queue
        .consume(
            KIND,
            1,
            handler(|delivery| async move {
                Outcome::Fail {
                    reason: delivery.message.payload.to_string(),
                }
            }),
        )
        .expect("consumes");
    for number in 0..3 {
        scene
            .queue
            .publish(&message(KIND, number))
            .await
            .expect("published");
    }
    for _ in 0..2 {
        let letters = scene.wait_for_dead_letters(3).await;
        let reasons: Vec<_> = letters.iter().map(|letter| letter.reason.as_str()).collect();
        assert_eq!(reasons, ["0", "1", "2"]);
    }
    assert_eq!(scene.queue.dead_letters(2).await.expect("answered").len(), 2);
}

async fn check_succeeds(scene: Scene) {
    scene.queue.check().await.expect("lives");
}
