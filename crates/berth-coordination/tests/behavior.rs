//! One suite over every implementation of coordination: what holds of one holds of all.

use std::sync::Arc;
use std::time::Duration;

use berth_coordination::memory::Memory;
use berth_coordination::redis::{self, Redis};
use berth_coordination::remote::{self, Remote};
use berth_coordination::{Coordination, Event, Subscription, Topic};
use berth_test_support::{TestRedis, wait_until};
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LIMIT: Duration = Duration::from_secs(10);
/// Far longer than any test.
const LONG: Duration = Duration::from_secs(600);
/// Short enough to be waited for, long enough not to pass between two lines of a test.
const SHORT: Duration = Duration::from_millis(400);

/// Two parties that share one coordination, as two processes do, and what keeps it alive.
struct Parties {
    ann: Arc<dyn Coordination>,
    bob: Arc<dyn Coordination>,
    _alive: Box<dyn Send>,
}

fn memory() -> Parties {
    let memory = Memory::new();
    Parties {
        ann: Arc::new(memory.clone()),
        bob: Arc::new(memory),
        _alive: Box::new(()),
    }
}

fn redis() -> Parties {
    let server = TestRedis::new().expect("a Redis is named");
    let connect = || {
        let options = redis::Options {
            prefix: server.prefix().to_owned(),
            ..redis::Options::new(server.url())
        };
        Arc::new(Redis::connect(options).expect("the address is well-formed"))
    };
    Parties {
        ann: connect(),
        bob: connect(),
        _alive: Box::new(()),
    }
}

fn socket() -> Parties {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordination.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    let shutdown = CancellationToken::new();
    let memory = Memory::new();
    tokio::spawn(remote::serve(memory.clone(), listener, shutdown.clone()));
    Parties {
        ann: Arc::new(memory),
        bob: Arc::new(Remote::connect(remote::Options::new(path))),
        _alive: Box::new((folder, shutdown.drop_guard())),
    }
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod over_memory { $(#[tokio::test] async fn $name() { super::$name(super::memory()).await; })* }
        mod over_redis { $(#[tokio::test] async fn $name() { super::$name(super::redis()).await; })* }
        mod over_a_socket { $(#[tokio::test] async fn $name() { super::$name(super::socket()).await; })* }
    };
}

suite! {
    entry_is_seen_by_the_other_until_it_is_removed
    entry_ends_with_its_time_and_renewing_prolongs_it
    entry_without_an_end_stays
    storing_the_same_value_changes_nothing
    list_is_in_order_and_keeps_collections_apart
    list_of_many_entries_is_whole
    awkward_names_and_values_survive
    lease_is_held_by_one_and_renewed_by_its_holder
    lease_passes_on_when_it_ends_or_is_given_back
    only_one_of_many_gets_the_lease
    counter_refuses_beyond_its_limit_and_reopens
    refused_attempts_do_not_prolong_the_window
    cleared_counter_begins_anew
    concurrent_attempts_never_pass_the_limit
    event_reaches_every_subscriber_of_its_topic
    events_of_one_publisher_arrive_in_order
    check_succeeds
}

async fn put(party: &Arc<dyn Coordination>, id: &str, value: &str, ttl: Option<Duration>) -> bool {
    party
        .put("things", id, value.to_owned(), ttl)
        .await
        .expect("stored")
}

async fn get(party: &Arc<dyn Coordination>, id: &str) -> Option<String> {
    party.get("things", id).await.expect("answered")
}

async fn list(party: &Arc<dyn Coordination>) -> Vec<(String, String)> {
    party.list("things").await.expect("answered")
}

async fn next(subscription: &mut Subscription) -> Event {
    timeout(LIMIT, subscription.next())
        .await
        .expect("an event comes in time")
        .expect("coordination lives")
}

fn message(topic: Topic, payload: &str) -> Event {
    Event::Message {
        topic,
        payload: payload.to_owned(),
    }
}

async fn entry_is_seen_by_the_other_until_it_is_removed(Parties { ann, bob, _alive }: Parties) {
    assert_eq!(get(&bob, "a").await, None);
    assert!(put(&ann, "a", "1", Some(LONG)).await);
    assert_eq!(get(&bob, "a").await.as_deref(), Some("1"));
    assert!(put(&bob, "a", "2", Some(LONG)).await);
    assert_eq!(get(&ann, "a").await.as_deref(), Some("2"));
    assert!(bob.remove("things", "a").await.expect("removed"));
    assert!(!ann.remove("things", "a").await.expect("answered"));
    assert_eq!(get(&ann, "a").await, None);
    assert_eq!(list(&bob).await, []);
}

async fn entry_ends_with_its_time_and_renewing_prolongs_it(Parties { ann, bob, _alive }: Parties) {
    put(&ann, "renewed", "1", Some(SHORT)).await;
    put(&ann, "left", "1", Some(SHORT)).await;
    put(&ann, "renewed", "1", Some(LONG)).await;
    wait_until(LIMIT, || async { get(&bob, "left").await.is_none() })
        .await
        .expect("ends");
    assert_eq!(list(&bob).await, [("renewed".to_owned(), "1".to_owned())]);
    assert!(!bob.remove("things", "left").await.expect("answered"));
    assert!(
        put(&ann, "left", "1", Some(LONG)).await,
        "what ended is new again"
    );
}

async fn entry_without_an_end_stays(Parties { ann, bob, _alive }: Parties) {
    put(&ann, "short", "1", Some(SHORT)).await;
    put(&ann, "for ever", "1", None).await;
    put(&ann, "was short", "1", Some(SHORT)).await;
    put(&ann, "was short", "1", None).await;
    wait_until(LIMIT, || async { get(&bob, "short").await.is_none() })
        .await
        .expect("ends");
    let ids: Vec<_> = list(&bob).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["for ever", "was short"]);
}

async fn storing_the_same_value_changes_nothing(Parties { ann, bob, _alive }: Parties) {
    assert!(put(&ann, "a", "1", Some(LONG)).await);
    assert!(!put(&bob, "a", "1", Some(LONG)).await);
    assert!(put(&ann, "a", "2", None).await);
    assert!(!put(&ann, "a", "2", None).await);
}

async fn list_is_in_order_and_keeps_collections_apart(Parties { ann, bob, _alive }: Parties) {
    for id in ["b", "c", "a"] {
        put(&ann, id, id, Some(LONG)).await;
    }
    ann.put("others", "x", "1".to_owned(), None)
        .await
        .expect("stored");
    let ids: Vec<_> = list(&bob).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!(bob.get("others", "a").await.expect("answered"), None);
}

async fn list_of_many_entries_is_whole(Parties { ann, bob, _alive }: Parties) {
    let ids: Vec<_> = (0..2_500).map(|number| format!("{number:04}")).collect();
    for batch in ids.chunks(100) {
        futures_util::future::join_all(batch.iter().map(|id| put(&ann, id, id, Some(LONG)))).await;
    }
    let expected: Vec<_> = ids.iter().map(|id| (id.clone(), id.clone())).collect();
    assert_eq!(list(&bob).await, expected);
}

async fn awkward_names_and_values_survive(Parties { ann, bob, _alive }: Parties) {
    for text in ["", " ", "a:b", "{a}b", "}{", "ü\n\"\\", "-inf"] {
        put(&ann, text, text, Some(LONG)).await;
        assert_eq!(get(&bob, text).await.as_deref(), Some(text), "{text:?}");
        assert!(ann.acquire(text, text, LONG).await.expect("answered"), "{text:?}");
        assert!(
            ann.hit(text, 1, LONG).await.expect("answered").allowed,
            "{text:?}"
        );
    }
    assert_eq!(list(&bob).await.len(), 7);
    let big = "x".repeat(3 << 20);
    put(&ann, "big", &big, None).await;
    assert_eq!(get(&bob, "big").await, Some(big));
}

async fn lease_is_held_by_one_and_renewed_by_its_holder(Parties { ann, bob, _alive }: Parties) {
    assert!(ann.acquire("planner", "ann", LONG).await.expect("answered"));
    assert!(!bob.acquire("planner", "bob", LONG).await.expect("answered"));
    assert!(ann.acquire("planner", "ann", LONG).await.expect("answered"));
    assert!(bob.acquire("other", "bob", LONG).await.expect("answered"));
}

async fn lease_passes_on_when_it_ends_or_is_given_back(Parties { ann, bob, _alive }: Parties) {
    assert!(ann.acquire("planner", "ann", LONG).await.expect("answered"));
    bob.release("planner", "bob").await.expect("answered");
    assert!(!bob.acquire("planner", "bob", LONG).await.expect("answered"));
    ann.release("planner", "ann").await.expect("answered");
    assert!(bob.acquire("planner", "bob", SHORT).await.expect("answered"));
    wait_until(LIMIT, || async {
        ann.acquire("planner", "ann", LONG).await.expect("answered")
    })
    .await
    .expect("bob's lease ends");
    assert!(!bob.acquire("planner", "bob", LONG).await.expect("answered"));
}

async fn only_one_of_many_gets_the_lease(Parties { ann, bob, _alive }: Parties) {
    let holders: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let attempts = holders.iter().enumerate().map(|(number, holder)| {
        let party = if number % 2 == 0 { &ann } else { &bob };
        party.acquire("planner", holder, LONG)
    });
    let taken = futures_util::future::join_all(attempts).await;
    let taken = taken
        .into_iter()
        .filter(|taken| *taken.as_ref().expect("answered"));
    assert_eq!(taken.count(), 1);
}

async fn counter_refuses_beyond_its_limit_and_reopens(Parties { ann, bob, _alive }: Parties) {
    for used in 1..=3 {
        let party = if used % 2 == 0 { &ann } else { &bob };
        let throttle = party.hit("sign-in", 3, SHORT).await.expect("answered");
        assert_eq!((throttle.allowed, throttle.used), (true, used));
        assert_eq!(throttle.retry_after, Duration::ZERO);
    }
    let refused = ann.hit("sign-in", 3, SHORT).await.expect("answered");
    assert_eq!((refused.allowed, refused.used), (false, 3));
    assert!(refused.retry_after <= SHORT, "{refused:?}");
    assert!(ann.hit("another", 3, SHORT).await.expect("answered").allowed);
    assert!(!ann.hit("never", 0, LONG).await.expect("answered").allowed);
    wait_until(LIMIT, || async {
        bob.hit("sign-in", 3, SHORT).await.expect("answered").used == 1
    })
    .await
    .expect("a new window begins");
}

async fn refused_attempts_do_not_prolong_the_window(Parties { ann, bob, _alive }: Parties) {
    assert!(ann.hit("sign-in", 1, SHORT).await.expect("answered").allowed);
    // Whoever keeps trying every few milliseconds gets in when the window ends.
    wait_until(LIMIT, || async {
        bob.hit("sign-in", 1, SHORT).await.expect("answered").allowed
    })
    .await
    .expect("the window ends");
}

async fn cleared_counter_begins_anew(Parties { ann, bob, _alive }: Parties) {
    assert!(ann.hit("sign-in", 1, LONG).await.expect("answered").allowed);
    let refused = bob.hit("sign-in", 1, LONG).await.expect("answered");
    assert!(!refused.allowed && refused.retry_after > SHORT, "{refused:?}");
    bob.clear("sign-in").await.expect("cleared");
    assert!(ann.hit("sign-in", 1, LONG).await.expect("answered").allowed);
}

async fn concurrent_attempts_never_pass_the_limit(Parties { ann, bob, _alive }: Parties) {
    let attempts = TaskTracker::new();
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let party = Arc::clone(if number % 2 == 0 { &ann } else { &bob });
            attempts.spawn(async move { party.hit("sign-in", 17, LONG).await.expect("answered").allowed })
        })
        .collect();
    let mut allowed = 0;
    for task in tasks {
        allowed += u32::from(task.await.expect("does not panic"));
    }
    assert_eq!(allowed, 17);
}

async fn event_reaches_every_subscriber_of_its_topic(Parties { ann, bob, _alive }: Parties) {
    let mut subscriptions = Vec::new();
    for party in [&ann, &bob, &bob] {
        subscriptions.push(
            party
                .subscribe(&[Topic::Keys, Topic::Routes])
                .await
                .expect("subscribed"),
        );
    }
    ann.publish(Topic::Deployments, "unheard")
        .await
        .expect("published");
    ann.publish(Topic::Keys, "*").await.expect("published");
    bob.publish(Topic::Routes, "ü").await.expect("published");
    for subscription in &mut subscriptions {
        // Two publishers: in either order.
        let mut heard = [next(subscription).await, next(subscription).await];
        heard.sort_by_key(|event| {
            !matches!(
                event,
                Event::Message {
                    topic: Topic::Keys,
                    ..
                }
            )
        });
        assert_eq!(heard, [message(Topic::Keys, "*"), message(Topic::Routes, "ü")]);
    }
}

async fn events_of_one_publisher_arrive_in_order(Parties { ann, bob, _alive }: Parties) {
    let mut subscription = ann.subscribe(&[Topic::Keys]).await.expect("subscribed");
    for number in 0..200 {
        bob.publish(Topic::Keys, &number.to_string())
            .await
            .expect("published");
    }
    for number in 0..200 {
        assert_eq!(
            next(&mut subscription).await,
            message(Topic::Keys, &number.to_string())
        );
    }
}

async fn check_succeeds(Parties { ann, bob, _alive }: Parties) {
    ann.check().await.expect("lives");
    bob.check().await.expect("lives");
}
