//! Keys on the hot path: what is refused, and how soon a change holds on every node.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_auth::authenticator::{Authenticator, Error, Options, Service};
use berth_auth::throttle::Limit;
use berth_coordination::memory::Memory;
use berth_coordination::redis::{self, Redis};
use berth_domain::access::can;
use berth_domain::address::AddressList;
use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_test_support::{Line, TestRedis, wait_until};
use chrono::TimeDelta;
use sha2::Digest as _;
use tokio::task::JoinHandle;

use crate::house::{ADDRESS, House, Tenant, connect, node, peppers, person};

/// How long a condition is waited for: far longer than it takes.
const LIMIT: Duration = Duration::from_secs(20);

/// So long that it does not happen in a test.
const NEVER: Duration = Duration::from_hours(1);

/// An authenticator whose service runs as long as this value lives.
struct Node {
    authenticator: Authenticator,
    task: JoinHandle<()>,
}

impl Node {
    async fn run((authenticator, service): (Authenticator, Service)) -> Self {
        let task = tokio::spawn(service.run(std::future::pending()));
        let informed = wait_until(LIMIT, || async { authenticator.is_informed() });
        informed.await.expect("the node is informed");
        Self { authenticator, task }
    }

    async fn judge(&self, text: &Secret) -> Result<(), Error> {
        self.authenticator
            .authenticate_key(text.expose(), ADDRESS)
            .await
            .map(drop)
    }

    async fn wait_until_revoked(&self, text: &Secret) {
        let refused = wait_until(LIMIT, || async {
            matches!(self.judge(text).await, Err(Error::Revoked))
        });
        refused.await.expect("the node refuses the revoked key");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn revoke(house: &House, tenant: &Tenant, key: &berth_auth::api_keys::ShownKey) {
    let access = house
        .project_access::<can::KeysManage>(&tenant.owner, tenant.organization, tenant.project)
        .await;
    house
        .auth
        .revoke_key(&access, key.view.key.id)
        .await
        .expect("revokes");
}

#[tokio::test]
async fn revocation_reaches_another_node_by_the_push_alone() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let options = Options {
        // The counter is read once, at the start, and what was heard holds for an hour.
        poll: NEVER,
        staleness: NEVER,
        ..Options::default()
    };
    let there = Node::run(node(
        &house,
        house.store.clone(),
        Arc::clone(&house.coordination),
        options,
    ))
    .await;
    let (key, other) = (house.key(&acme).await, house.key(&acme).await);
    there.judge(&key.text).await.expect("holds");
    there.judge(&other.text).await.expect("holds");
    revoke(&house, &acme, &key).await;
    there.wait_until_revoked(&key.text).await;
    there.judge(&other.text).await.expect("holds");
}

#[tokio::test]
async fn revocation_reaches_another_node_by_the_counter_alone() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    // The push of one does not reach the other: their coordination is not the same.
    let there = Node::run(node(
        &house,
        house.store.clone(),
        Arc::new(Memory::new()),
        Options::default(),
    ))
    .await;
    let key = house.key(&acme).await;
    there.judge(&key.text).await.expect("holds");
    revoke(&house, &acme, &key).await;
    there.wait_until_revoked(&key.text).await;
}

#[tokio::test]
async fn node_that_hears_nothing_asks_for_every_request() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let (there, _never_runs) = house.authenticator();
    for _ in 0..3 {
        there
            .authenticate_key(key.text.expose(), ADDRESS)
            .await
            .expect("holds");
    }
    assert!(!there.is_informed());
    revoke(&house, &acme, &key).await;
    let refused = there.authenticate_key(key.text.expose(), ADDRESS).await;
    assert!(
        matches!(refused, Err(Error::Revoked)),
        "the very next request: {refused:?}"
    );
}

#[tokio::test]
async fn node_whose_lines_are_cut_refuses_rather_than_guess() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let (app_line, app_url) = Line::to_url(&house.database.app_url()).await.expect("a line");
    let store = connect(&app_url, &house.database.system_url()).await;
    let redis = TestRedis::new().expect("a Redis server");
    let (push_line, push_url) = Line::to_url(redis.url()).await.expect("a line");
    let coordination = Redis::connect(redis::Options {
        prefix: redis.prefix().to_owned(),
        ..redis::Options::new(push_url)
    });
    let coordination = Arc::new(coordination.expect("options that fit"));
    let there = Node::run(node(&house, store, coordination, Options::default())).await;
    there.judge(&key.text).await.expect("holds");
    app_line.cut();
    push_line.cut();
    let refused = wait_until(LIMIT, || async {
        matches!(there.judge(&key.text).await, Err(Error::Unavailable(_)))
    });
    refused.await.expect("the node refuses");
    revoke(&house, &acme, &key).await;
    app_line.mend();
    push_line.mend();
    there.wait_until_revoked(&key.text).await;
}

#[tokio::test]
async fn push_alone_keeps_a_node_going_while_its_database_is_away() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let (key, revoked) = (house.key(&acme).await, house.key(&acme).await);
    let (line, app_url) = Line::to_url(&house.database.app_url()).await.expect("a line");
    let store = connect(&app_url, &house.database.system_url()).await;
    let staleness = Duration::from_secs(3);
    let options = Options {
        staleness,
        look_up: Duration::from_millis(200),
        ..Options::default()
    };
    let there = Node::run(node(&house, store, Arc::clone(&house.coordination), options)).await;
    there.judge(&key.text).await.expect("holds");
    there.judge(&revoked.text).await.expect("holds");
    line.cut();
    revoke(&house, &acme, &revoked).await;
    let refused = wait_until(LIMIT, || async { there.judge(&revoked.text).await.is_err() });
    refused.await.expect("the push is heard");
    let cut = Instant::now();
    while cut.elapsed() < 2 * staleness {
        there
            .judge(&key.text)
            .await
            .expect("holds, by what the node has heard");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn suspension_reaches_another_node_and_so_does_its_end() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let there = Node::run(house.authenticator()).await;
    there.judge(&key.text).await.expect("holds");
    let manage = house
        .access::<can::OrganizationManage>(&acme.owner, acme.organization)
        .await;
    house.auth.suspend_organization(&manage).await.expect("suspends");
    let refused = wait_until(LIMIT, || async {
        matches!(there.judge(&key.text).await, Err(Error::OrganizationSuspended))
    });
    refused.await.expect("the suspension is noticed");
    house.auth.resume_organization(&manage).await.expect("resumes");
    let held = wait_until(LIMIT, || async { there.judge(&key.text).await.is_ok() });
    held.await.expect("the end of the suspension is noticed");

    let project = house
        .project_access::<can::ProjectsManage>(&acme.owner, acme.organization, acme.project)
        .await;
    house.auth.suspend_project(&project).await.expect("suspends");
    let refused = wait_until(LIMIT, || async {
        matches!(there.judge(&key.text).await, Err(Error::ProjectSuspended))
    });
    refused.await.expect("the suspension is noticed");
    house.auth.delete_project(&project).await.expect("deletes");
    let refused = wait_until(LIMIT, || async {
        matches!(there.judge(&key.text).await, Err(Error::Unknown))
    });
    refused.await.expect("the deletion is noticed");
}

#[tokio::test]
async fn own_key_of_a_disabled_person_stops() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let there = Node::run(house.authenticator()).await;
    there.judge(&key.text).await.expect("holds");
    let operator = house.operator().await;
    let operator = house.auth.authorize_operator(&operator).expect("an operator");
    house
        .auth
        .disable_user(&operator, person(&acme.owner).user)
        .await
        .expect("disables");
    let refused = wait_until(LIMIT, || async {
        matches!(there.judge(&key.text).await, Err(Error::MakerDisabled))
    });
    refused.await.expect("the node notices");
}

#[tokio::test]
async fn key_made_after_it_was_asked_for_in_vain_is_found_soon() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let there = Node::run(house.authenticator()).await;
    let key = house.key(&acme).await;
    let parsed = berth_auth::key_text::KeyText::parse(key.text.expose()).expect("a key");
    let mut tx = house.store.tenant(acme.organization).await.expect("begins");
    let id = parsed.public_id().to_string();
    // Taken out and put back by hand, so that the node asks in between.
    assert!(
        tx.api_key_secrets()
            .remove(acme.organization, key.view.key.id, &id)
            .await
            .expect("removes")
    );
    tx.commit().await.expect("commits");
    let unknown = wait_until(LIMIT, || async {
        matches!(there.judge(&key.text).await, Err(Error::Unknown))
    });
    unknown.await.expect("the counter tells that something changed");
    let next = house.key(&acme).await;
    there
        .judge(&next.text)
        .await
        .expect("another key is found at once");
}

#[tokio::test]
async fn keys_are_refused_for_what_is_the_matter_with_them() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let there = Node::run(house.authenticator()).await;
    let networks = vec!["198.51.100.0/24".parse().expect("a network")];
    let office = house
        .key_with(&acme, |wish| wish.addresses = AddressList::new(networks))
        .await;
    let refused = there.judge(&office.text).await;
    assert!(matches!(refused, Err(Error::Address)), "{refused:?}");
    let inside = there
        .authenticator
        .authenticate_key(office.text.expose(), IpAddr::from([198, 51, 100, 9]))
        .await;
    inside.expect("the office is listed");

    let expires_at = Some(house.clock_now() + TimeDelta::minutes(1));
    let brief = house.key_with(&acme, |wish| wish.expires_at = expires_at).await;
    there.judge(&brief.text).await.expect("holds");
    house.clock.advance(TimeDelta::minutes(1));
    let refused = there.judge(&brief.text).await;
    assert!(
        matches!(refused, Err(Error::Expired)),
        "while it is cached: {refused:?}"
    );

    for text in ["", "bth_test_0123456789abcdef", "sk-something", "Bearer x"] {
        let refused = there.judge(&Secret::new(text)).await;
        assert!(matches!(refused, Err(Error::Text(_))), "{text:?}: {refused:?}");
    }
    let environment = "test".parse().expect("an environment");
    let stranger = berth_auth::key_text::FreshKey::new(&environment, &SystemRandom, &peppers());
    for _ in 0..2 {
        let refused = there.judge(&stranger.text).await;
        assert!(matches!(refused, Err(Error::Unknown)), "{refused:?}");
    }
}

/// The checksum as the format is documented: six digits of base 62 of the first 64 bits of the SHA-256.
fn checksum(signed: &str) -> String {
    let digest = sha2::Sha256::digest(signed.as_bytes());
    let mut value = digest[..8]
        .iter()
        .fold(0u64, |value, &byte| (value << 8) | u64::from(byte));
    let mut digits = Vec::new();
    for _ in 0..6 {
        let digit = u8::try_from(value % 62).expect("below 62");
        digits.push(char::from(match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        }));
        value /= 62;
    }
    digits.iter().rev().collect()
}

#[tokio::test]
async fn secret_of_another_key_does_not_open_this_one() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let there = Node::run(house.authenticator()).await;
    let (one, other) = (house.key(&acme).await, house.key(&acme).await);
    there.judge(&one.text).await.expect("holds");
    let parts = |key: &berth_auth::api_keys::ShownKey| {
        key.text
            .expose()
            .split('_')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (one, other) = (parts(&one), parts(&other));
    let signed = format!("{}_{}_{}_{}", one[0], one[1], one[2], &other[3][..43]);
    let forged = format!("{signed}{}", checksum(&signed));
    let refused = there.judge(&Secret::new(forged)).await;
    assert!(matches!(refused, Err(Error::Unknown)), "{refused:?}");
}

#[tokio::test]
async fn trying_keys_at_random_waits_and_shuts_nobody_out() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let options = Options {
        unknown_by_address: Limit {
            attempts: 3,
            window: Duration::from_mins(1),
        },
        ..Options::default()
    };
    let there = Node::run(node(
        &house,
        house.store.clone(),
        Arc::clone(&house.coordination),
        options,
    ))
    .await;
    let environment = "test".parse().expect("an environment");
    let random = || berth_auth::key_text::FreshKey::new(&environment, &SystemRandom, &peppers()).text;
    for _ in 0..3 {
        assert!(matches!(there.judge(&random()).await, Err(Error::Unknown)));
    }
    let texts: Vec<Secret> = (0..5_000).map(|_| random()).collect();
    let answers = futures_util::future::join_all(texts.iter().map(|text| there.judge(text))).await;
    let waited = answers
        .iter()
        .filter(|answer| matches!(answer, Err(Error::TooManyUnknown(_))))
        .count();
    let asked = answers
        .iter()
        .filter(|answer| matches!(answer, Err(Error::Unknown)))
        .count();
    assert!(
        waited > 0 && asked > 0 && waited + asked == texts.len(),
        "{waited} waited, {asked} were looked up"
    );
    let known = house.key(&acme).await;
    there
        .judge(&known.text)
        .await
        .expect("who shares the address is not shut out");
}

#[tokio::test]
async fn use_of_a_key_is_noted_in_time() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let options = Options {
        note_uses: Duration::from_millis(20),
        ..Options::default()
    };
    let there = Node::run(node(
        &house,
        house.store.clone(),
        Arc::clone(&house.coordination),
        options,
    ))
    .await;
    let read = house
        .project_access::<can::KeysRead>(&acme.owner, acme.organization, acme.project)
        .await;
    let id = key.view.key.id;
    let used = async || {
        house
            .auth
            .show_key(&read, id)
            .await
            .expect("shows")
            .key
            .last_used_at
    };
    assert_eq!(used().await, None);
    for _ in 0..2 {
        house.clock.advance(TimeDelta::hours(1));
        let now = house.clock_now().timestamp_millis();
        there.judge(&key.text).await.expect("holds");
        let noted = wait_until(LIMIT, || async {
            used().await.map(|at| at.timestamp_millis()) == Some(now)
        });
        noted.await.expect("the use is noted");
    }
}

#[tokio::test]
async fn last_uses_are_written_when_the_service_ends() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let options = Options {
        note_uses: NEVER,
        ..Options::default()
    };
    let (authenticator, service) = node(
        &house,
        house.store.clone(),
        Arc::clone(&house.coordination),
        options,
    );
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(service.run(async move {
        let _ = ended.await;
    }));
    let informed = wait_until(LIMIT, || async { authenticator.is_informed() });
    informed.await.expect("the node is informed");
    authenticator
        .authenticate_key(key.text.expose(), ADDRESS)
        .await
        .expect("holds");
    end.send(()).expect("the service runs");
    task.await.expect("the service ends");
    let read = house
        .project_access::<can::KeysRead>(&acme.owner, acme.organization, acme.project)
        .await;
    let view = house.auth.show_key(&read, key.view.key.id).await.expect("shows");
    assert!(view.key.last_used_at.is_some());
}

#[tokio::test]
async fn key_whose_pepper_is_gone_does_not_hold() {
    let house = House::new().await;
    let acme = house.tenant("acme").await;
    let key = house.key(&acme).await;
    let pepper = |id: &str, text: &str| berth_auth::pepper::Pepper {
        id: id.to_owned(),
        secret: Secret::new(text.repeat(8)),
    };
    let judge = async |peppers: berth_auth::pepper::Peppers| {
        let (there, _service) = Authenticator::new(
            Options::default(),
            house.store.clone(),
            Arc::clone(&house.coordination),
            peppers,
            Arc::new(house.clock.clone()),
            &SystemRandom,
        );
        there.authenticate_key(key.text.expose(), ADDRESS).await
    };
    let gone = berth_auth::pepper::Peppers::new(pepper("two", "another"), vec![]).expect("a pepper");
    assert!(matches!(judge(gone).await, Err(Error::Unknown)));
    let changed = berth_auth::pepper::Peppers::new(pepper("one", "another"), vec![]).expect("a pepper");
    assert!(matches!(judge(changed).await, Err(Error::Unknown)));
}
