//! The other side goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use berth_coordination::memory::Memory;
use berth_coordination::redis::{self, Redis};
use berth_coordination::remote::{self, Remote};
use berth_coordination::{Coordination, Error, Event, Subscription, Topic};
use berth_test_support::{Line, TestRedis, wait_until};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);
/// How long operations try in these tests.
const PATIENCE: Duration = Duration::from_millis(300);

async fn next(subscription: &mut Subscription) -> Event {
    timeout(LIMIT, subscription.next())
        .await
        .expect("an event comes in time")
        .expect("coordination lives")
}

fn keys(payload: &str) -> Event {
    Event::Message {
        topic: Topic::Keys,
        payload: payload.to_owned(),
    }
}

fn redis_at(url: &str, server: &TestRedis) -> Redis {
    Redis::connect(redis::Options {
        prefix: server.prefix().to_owned(),
        timeout: PATIENCE,
        ..redis::Options::new(url)
    })
    .expect("the address is well-formed")
}

async fn answers_again(coordination: &dyn Coordination) {
    wait_until(LIMIT, || async { coordination.check().await.is_ok() })
        .await
        .expect("answers again");
}

#[tokio::test]
async fn redis_is_lost_and_found_again() {
    let server = TestRedis::new().expect("a Redis is named");
    let (line, url) = Line::to_url(server.url()).await.expect("is laid");
    let (cut_off, direct) = (redis_at(&url, &server), redis_at(server.url(), &server));
    let mut subscription = cut_off.subscribe(&[Topic::Keys]).await.expect("subscribed");
    cut_off.put("c", "a", "1".to_owned(), None).await.expect("stored");
    direct.publish(Topic::Keys, "before").await.expect("published");
    assert_eq!(next(&mut subscription).await, keys("before"));

    line.cut();
    let error = wait_for_error(&cut_off).await;
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("read entry `a` of `c`"), "{error}");
    direct.publish(Topic::Keys, "unheard").await.expect("published");

    line.mend();
    answers_again(&cut_off).await;
    assert_eq!(
        cut_off.get("c", "a").await.expect("answered").as_deref(),
        Some("1")
    );
    assert_eq!(next(&mut subscription).await, Event::Gap);
    direct.publish(Topic::Keys, "after").await.expect("published");
    assert_eq!(next(&mut subscription).await, keys("after"));
}

async fn wait_for_error(coordination: &dyn Coordination) -> Error {
    berth_test_support::wait_for(LIMIT, || async { coordination.get("c", "a").await.err() })
        .await
        .expect("the outage is noticed")
}

#[tokio::test]
async fn redis_that_was_away_at_first_is_used_when_it_comes() {
    let server = TestRedis::new().expect("a Redis is named");
    let (line, url) = Line::to_url(server.url()).await.expect("is laid");
    line.cut();
    let coordination = redis_at(&url, &server);
    let mut subscription = coordination
        .subscribe(&[Topic::Keys])
        .await
        .expect("subscribed all the same");
    coordination.check().await.expect_err("is away");

    line.mend();
    assert_eq!(next(&mut subscription).await, Event::Gap);
    answers_again(&coordination).await;
    coordination.publish(Topic::Keys, "1").await.expect("published");
    assert_eq!(next(&mut subscription).await, keys("1"));
}

#[tokio::test]
async fn server_that_stalls_is_a_timeout_and_not_a_hang() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    // Accepts and never says a word.
    let silent = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    let server = TestRedis::new().expect("a Redis is named");
    let coordination = redis_at(&format!("redis://{address}"), &server);
    let error = timeout(LIMIT, coordination.check())
        .await
        .expect("ends")
        .expect_err("stalls");
    assert!(matches!(error, Error::Timeout { limit: PATIENCE, .. }), "{error}");
    silent.abort();
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_sent_again() {
    let server = TestRedis::new().expect("a Redis is named");
    let coordination = redis_at(server.url(), &server);
    coordination
        .put("c", "a", "1".to_owned(), None)
        .await
        .expect("stored");
    let mut connection = ::redis::Client::open(server.url())
        .expect("well-formed")
        .get_multiplexed_async_connection()
        .await
        .expect("connects");
    let _: () = ::redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut connection)
        .await
        .expect("flushed");
    assert_eq!(
        coordination.get("c", "a").await.expect("answered").as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn collection_of_entries_that_end_leaves_nothing_behind() {
    let server = TestRedis::new().expect("a Redis is named");
    let coordination = redis_at(server.url(), &server);
    let mut connection = ::redis::Client::open(server.url())
        .expect("well-formed")
        .get_multiplexed_async_connection()
        .await
        .expect("connects");
    let key = format!("{{{}:entries:c}}:values", server.prefix());
    for id in ["a", "b"] {
        coordination
            .put("c", id, "1".to_owned(), Some(Duration::from_millis(200)))
            .await
            .expect("stored");
    }
    let held: u64 = ::redis::cmd("EXISTS")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .expect("answers");
    assert_eq!(held, 1, "the key has the name that this test looks for");
    wait_until(LIMIT, || {
        let mut connection = connection.clone();
        let mut command = ::redis::cmd("EXISTS");
        command.arg(&key);
        async move {
            command
                .query_async::<u64>(&mut connection)
                .await
                .expect("answers")
                == 0
        }
    })
    .await
    .expect("the key itself ends");
}

#[test]
fn malformed_address_is_refused_without_showing_it() {
    let error = Redis::connect(redis::Options::new("redis://user:hunter2@[")).expect_err("is malformed");
    assert!(!error.is_transient());
    let chain = format!("{error:?} {error}");
    assert!(!chain.contains("hunter2"), "{chain}");
}

#[tokio::test]
async fn socket_is_lost_and_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordination.sock");
    let memory = Memory::new();
    let serve = |shutdown: &CancellationToken| {
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("binds");
        tokio::spawn(remote::serve(memory.clone(), listener, shutdown.clone()))
    };
    let first = CancellationToken::new();
    let server = serve(&first);
    let remote = Remote::connect(remote::Options {
        timeout: PATIENCE,
        ..remote::Options::new(&path)
    });
    let mut subscription = remote.subscribe(&[Topic::Keys]).await.expect("subscribed");
    remote.put("c", "a", "1".to_owned(), None).await.expect("stored");

    first.cancel();
    server.await.expect("ends in order");
    let error = wait_for_error(&remote).await;
    assert!(error.is_transient(), "{error}");
    memory.publish(Topic::Keys, "unheard").await.expect("published");

    let second = CancellationToken::new();
    let server = serve(&second);
    assert_eq!(next(&mut subscription).await, Event::Gap);
    assert_eq!(
        remote.get("c", "a").await.expect("answered").as_deref(),
        Some("1")
    );
    memory.publish(Topic::Keys, "after").await.expect("published");
    assert_eq!(next(&mut subscription).await, keys("after"));
    second.cancel();
    server.await.expect("ends in order");
}

#[tokio::test]
async fn server_shut_down_ends_its_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("coordination.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(remote::serve(Memory::new(), listener, shutdown.clone()));
    let clients: Vec<Arc<Remote>> = (0..3)
        .map(|_| Arc::new(Remote::connect(remote::Options::new(&path))))
        .collect();
    for client in &clients {
        client.check().await.expect("answers");
    }
    shutdown.cancel();
    timeout(LIMIT, server).await.expect("ends").expect("in order");
}
