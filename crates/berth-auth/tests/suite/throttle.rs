//! Limits on guessing.

use std::net::IpAddr;
use std::sync::Arc;

use berth_auth::sessions::SignInError;
use berth_auth::throttle::Exceeded;
use berth_coordination::redis::{self, Redis};
use berth_domain::secret::Secret;
use berth_test_support::{Line, TestRedis};
use chrono::TimeDelta;

use crate::house::{ADDRESS, House, PASSWORD, email};

async fn guess(house: &House, address: &str, from: IpAddr) -> Result<(), SignInError> {
    let guess = Secret::new("not the password");
    house
        .auth
        .sign_in(&email(address), &guess, None, from)
        .await
        .map(drop)
}

async fn knock(house: &House, address: &str) -> Result<(), SignInError> {
    let password = Secret::new(PASSWORD);
    house
        .auth
        .sign_in(&email(address), &password, None, ADDRESS)
        .await
        .map(drop)
}

fn is_throttled(answer: &Result<(), SignInError>) -> bool {
    matches!(answer, Err(SignInError::Throttled(Exceeded { retry_after })) if !retry_after.is_zero())
}

#[tokio::test]
async fn guessing_at_one_account_is_throttled_from_every_address() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    house.sign_up("eve@example.com").await;
    for attempt in 0..10u8 {
        let refused = guess(&house, "ada@example.com", IpAddr::from([198, 51, 100, attempt])).await;
        assert!(matches!(refused, Err(SignInError::Credentials)), "{refused:?}");
    }
    assert!(
        is_throttled(&knock(&house, "ada@example.com").await),
        "the right password does not help"
    );
    assert!(
        !is_throttled(&guess(&house, "nobody@example.com", ADDRESS).await),
        "others go on"
    );
    knock(&house, "eve@example.com").await.expect("another account");
}

#[tokio::test]
async fn signing_in_starts_the_count_of_the_account_anew() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    for _ in 0..3 {
        for _ in 0..9 {
            assert!(matches!(
                guess(&house, "ada@example.com", ADDRESS).await,
                Err(SignInError::Credentials)
            ));
        }
        knock(&house, "ada@example.com")
            .await
            .expect("the tenth attempt is the right one");
    }
}

#[tokio::test]
async fn guessing_from_one_address_is_throttled_at_every_account() {
    let house = House::with(|options| options.throttle.sign_in_by_address.attempts = 5).await;
    house.sign_up("ada@example.com").await;
    for account in 0..5 {
        let refused = guess(&house, &format!("x{account}@example.com"), ADDRESS).await;
        assert!(matches!(refused, Err(SignInError::Credentials)), "{refused:?}");
    }
    assert!(is_throttled(&knock(&house, "ada@example.com").await));
    let elsewhere = guess(&house, "ada@example.com", IpAddr::from([198, 51, 100, 1])).await;
    assert!(
        matches!(elsewhere, Err(SignInError::Credentials)),
        "{elsewhere:?}"
    );
}

#[tokio::test]
async fn network_of_an_ipv6_customer_counts_as_one_address() {
    let house = House::with(|options| options.throttle.sign_in_by_address.attempts = 2).await;
    let from = |text: &str| text.parse::<IpAddr>().expect("an address");
    for address in ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"] {
        assert!(!is_throttled(
            &guess(&house, "ada@example.com", from(address)).await
        ));
    }
    assert!(is_throttled(
        &guess(&house, "ada@example.com", from("2001:db8:0:1::3")).await
    ));
    assert!(!is_throttled(
        &guess(&house, "ada@example.com", from("2001:db8:0:2::1")).await
    ));
}

#[tokio::test]
async fn without_coordination_each_node_still_counts() {
    let redis = TestRedis::new().expect("a Redis server");
    let (line, url) = Line::to_url(redis.url()).await.expect("a line");
    let options = redis::Options {
        prefix: redis.prefix().to_owned(),
        ..redis::Options::new(url)
    };
    let coordination = Redis::connect(options).expect("options that fit");
    let house = House::over(Arc::new(coordination), |_| ()).await;
    house.sign_up("ada@example.com").await;
    for _ in 0..4 {
        assert!(matches!(
            guess(&house, "ada@example.com", ADDRESS).await,
            Err(SignInError::Credentials)
        ));
    }
    line.cut();
    for _ in 0..6 {
        assert!(matches!(
            guess(&house, "ada@example.com", ADDRESS).await,
            Err(SignInError::Credentials)
        ));
    }
    assert!(
        is_throttled(&knock(&house, "ada@example.com").await),
        "never without bound"
    );
    house.clock.advance(TimeDelta::minutes(15));
    knock(&house, "ada@example.com")
        .await
        .expect("the window has ended");
}
