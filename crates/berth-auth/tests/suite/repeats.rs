//! Requests that clients repeat under a key of their own.

use std::mem;
use std::time::Duration;

use berth_auth::api_keys::{self, ShownKey};
use berth_auth::organizations::OrganizationWish;
use berth_auth::repeats::{Attempt, Begun, Error, Repeatable};
use berth_domain::access::{Caller, can};
use berth_domain::digest::Sha256;
use berth_domain::permission::BuiltinRole;
use berth_store::idempotency_keys::{Answer, Owner, Rendered};
use berth_test_support::{wait_for, wait_until};
use chrono::TimeDelta;

use crate::house::{House, Tenant, first, key_wish, user};

const PATIENCE: TimeDelta = TimeDelta::minutes(1);

/// The request to make a key, from `caller`, under the key `abc`.
async fn begin(house: &House, tenant: &Tenant, caller: &Caller) -> Result<Begun, Error> {
    begin_with(house, tenant, caller, PATIENCE).await
}

async fn begin_with(
    house: &House,
    tenant: &Tenant,
    caller: &Caller,
    patience: TimeDelta,
) -> Result<Begun, Error> {
    house
        .auth
        .begin(Repeatable {
            caller,
            owner: Owner::Organization(tenant.organization),
            route: "POST /keys".to_owned(),
            key: "abc".parse().expect("a key"),
            content: Sha256::of(b"a key, please"),
            patience,
        })
        .await
}

#[track_caller]
fn fresh(begun: Result<Begun, Error>) -> Attempt {
    match begun {
        Ok(Begun::Fresh(attempt)) => attempt,
        Ok(Begun::Answered(_)) => unreachable!("it was not done before"),
        Err(error) => unreachable!("it can be done: {error}"),
    }
}

#[track_caller]
fn answered(begun: Result<Begun, Error>) -> Answer {
    match begun {
        Ok(Begun::Answered(answer)) => answer,
        Ok(Begun::Fresh(_)) => unreachable!("it was done before"),
        Err(error) => unreachable!("it was done before: {error}"),
    }
}

/// The answer that shows the key's text.
#[expect(clippy::unnecessary_wraps, reason = "the shape of what renders an answer")]
fn text_of(shown: &ShownKey) -> Rendered {
    Ok(Answer {
        status: 201,
        content_type: Some("text/plain".to_owned()),
        body: shown.text.expose().as_bytes().to_vec(),
    })
}

async fn make(house: &House, tenant: &Tenant, attempt: &Attempt) -> Result<ShownKey, api_keys::Error> {
    let access = house
        .project_access::<can::KeysManage>(&tenant.owner, tenant.organization, tenant.project)
        .await;
    let keep = attempt.keep(text_of);
    house.auth.create_key(&access, key_wish(), &keep).await
}

async fn keys(house: &House, tenant: &Tenant) -> usize {
    let access = house
        .project_access::<can::KeysRead>(&tenant.owner, tenant.organization, tenant.project)
        .await;
    house
        .auth
        .list_keys(&access, &first())
        .await
        .expect("lists")
        .items
        .len()
}

#[tokio::test]
async fn answer_that_was_lost_is_given_again_with_its_secret() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let attempt = fresh(begin(&house, &acme, &acme.owner).await);
    let running = begin(&house, &acme, &acme.owner).await;
    assert!(matches!(running, Err(Error::Running)));
    let shown = make(&house, &acme, &attempt).await.expect("a key");
    attempt.done();
    for _ in 0..2 {
        let answer = answered(begin(&house, &acme, &acme.owner).await);
        assert_eq!(answer.body, shown.text.expose().as_bytes());
        assert_eq!(
            (answer.status, answer.content_type.as_deref()),
            (201, Some("text/plain"))
        );
    }
    assert_eq!(keys(&house, &acme).await, 1);
    house.clock.advance(TimeDelta::hours(24));
    fresh(begin(&house, &acme, &acme.owner).await);
}

#[tokio::test]
async fn secret_in_a_kept_answer_stands_nowhere_in_the_clear() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let attempt = fresh(begin(&house, &acme, &acme.owner).await);
    let shown = make(&house, &acme, &attempt).await.expect("a key");
    attempt.done();
    let text = shown.text.expose();
    let secret = text.rsplit('_').next().expect("a secret");
    let rows = house.database.rows().await.expect("the rows");
    assert!(
        rows.iter()
            .any(|row| row.starts_with("idempotency_keys") && row.contains(r#""status": 201"#))
    );
    for clear in [secret.to_owned(), hex::encode(secret)] {
        assert!(rows.iter().all(|row| !row.contains(&clear)));
    }
}

#[tokio::test]
async fn another_member_does_not_get_the_answer() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (admin, _) = house
        .member(&acme, None, "admin@acme.example", BuiltinRole::Admin)
        .await;
    let attempt = fresh(begin(&house, &acme, &acme.owner).await);
    make(&house, &acme, &attempt).await.expect("a key");
    attempt.done();
    let refused = begin(&house, &acme, &admin).await;
    assert!(matches!(refused, Err(Error::Different)));
}

#[tokio::test]
async fn request_of_a_process_that_died_is_done_once_by_another() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    // The process dies with the key claimed and nothing made.
    mem::forget(fresh(begin(&house, &acme, &acme.owner).await));
    house.clock.advance(PATIENCE);
    let running = begin(&house, &acme, &acme.owner).await;
    assert!(matches!(running, Err(Error::Running)));
    house.clock.advance(TimeDelta::seconds(1));
    let attempt = fresh(begin(&house, &acme, &acme.owner).await);
    make(&house, &acme, &attempt).await.expect("a key");
    attempt.done();
    answered(begin(&house, &acme, &acme.owner).await);
    assert_eq!(keys(&house, &acme).await, 1);
}

#[tokio::test]
async fn request_that_goes_on_is_not_given_up_for_dead() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    // A sign of life comes every few milliseconds.
    let patience = TimeDelta::milliseconds(30);
    let attempt = fresh(begin_with(&house, &acme, &acme.owner, patience).await);
    let shown = attempt
        .carry_out(Box::pin(async {
            for _ in 0..3 {
                let before = house.database.rows().await.expect("the rows");
                house.clock.advance(TimeDelta::minutes(10));
                let renewed = wait_until(Duration::from_secs(20), async || {
                    house.database.rows().await.expect("the rows") != before
                });
                renewed.await.expect("it shows that it lives");
                let again = begin_with(&house, &acme, &acme.owner, patience).await;
                assert!(matches!(again, Err(Error::Running)));
            }
            make(&house, &acme, &attempt).await
        }))
        .await
        .expect("a key");
    attempt.done();
    let answer = answered(begin(&house, &acme, &acme.owner).await);
    assert_eq!(answer.body, shown.text.expose().as_bytes());
    assert_eq!(keys(&house, &acme).await, 1);
}

#[tokio::test]
async fn request_that_was_given_up_for_dead_too_early_makes_nothing() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let slow = fresh(begin(&house, &acme, &acme.owner).await);
    house.clock.advance(PATIENCE + TimeDelta::seconds(1));
    let second = fresh(begin(&house, &acme, &acme.owner).await);
    let late = make(&house, &acme, &slow).await;
    assert!(matches!(late, Err(api_keys::Error::Store(_))), "{late:?}");
    assert!(
        !slow.give_up().await.expect("asks"),
        "the key is the second one's"
    );
    assert_eq!(keys(&house, &acme).await, 0);
    let shown = make(&house, &acme, &second).await.expect("a key");
    second.done();
    assert_eq!(
        answered(begin(&house, &acme, &acme.owner).await).body,
        shown.text.expose().as_bytes()
    );
    assert_eq!(keys(&house, &acme).await, 1);
}

#[tokio::test]
async fn request_that_failed_or_was_broken_off_can_be_sent_again_at_once() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let failed = fresh(begin(&house, &acme, &acme.owner).await);
    assert!(failed.give_up().await.expect("asks"));
    let broken_off = fresh(begin(&house, &acme, &acme.owner).await);
    drop(broken_off);
    let again = wait_for(Duration::from_secs(20), async || {
        begin(&house, &acme, &acme.owner).await.ok()
    })
    .await
    .expect("the key is given free");
    fresh(Ok(again));
}

#[tokio::test]
async fn person_who_makes_an_organization_twice_has_one() {
    let house = House::new().await;
    let ada = house.sign_up("ada@example.com").await;
    let ada = house.caller(&ada).await;
    let begin = async || {
        let repeatable = Repeatable {
            caller: &ada,
            owner: Owner::Person(user(&ada)),
            route: "POST /organizations".to_owned(),
            key: "abc".parse().expect("a key"),
            content: Sha256::of(b"acme"),
            patience: PATIENCE,
        };
        house.auth.begin(repeatable).await
    };
    let attempt = fresh(begin().await);
    let wish = OrganizationWish {
        name: "acme".parse().expect("a handle"),
        title: "Acme".parse().expect("a title"),
    };
    let keep = attempt.keep(|made: &berth_store::organizations::Organization| {
        Ok(Answer {
            status: 201,
            content_type: None,
            body: made.id.to_string().into_bytes(),
        })
    });
    let made = house
        .auth
        .create_organization(&ada, wish, &keep)
        .await
        .expect("an organization");
    drop(keep);
    attempt.done();
    assert_eq!(answered(begin().await).body, made.id.to_string().as_bytes());
}
