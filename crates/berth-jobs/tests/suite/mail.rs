//! Letters, from the request to the letter box.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use berth_domain::id::MessageId;
use berth_domain::name::Email;
use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_domain::work::{MailSend, Work as _};
use berth_jobs::mail::{ConfigurationError, Mailer, Options, Security};
use berth_queue::{Delivery, Handler as _, Message, Outcome};
use berth_store::invitations::NewInvitation;
use chrono::TimeDelta;
use tokio::net::TcpListener;

use crate::house::House;
use crate::post_office::PostOffice;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn options(port: u16) -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::None,
        credentials: None,
        from: "Berth <berth@berth.example>".to_owned(),
        timeout: Duration::from_secs(5),
        public_url: "https://berth.example/".to_owned(),
    }
}

fn mailer(house: &House, port: u16) -> Mailer {
    Mailer::new(house.letters(), Arc::new(house.clock.clone()), options(port)).expect("is configured")
}

fn email(text: &str) -> Email {
    text.parse().expect("an address")
}

/// Someone with a password asks for a new one; gives the message that is to be mailed.
async fn asks_for_a_password(house: &House) -> Delivery {
    let auth = house.auth();
    let password = Secret::new("a long walk on the pier");
    auth.bootstrap(email("grace@example.com"), &password, None)
        .await
        .expect("an account");
    auth.request_password_reset(&email("grace@example.com"), ADDRESS)
        .await
        .expect("asks");
    next_letter(house).await
}

async fn next_letter(house: &House) -> Delivery {
    let mut tx = house.store.system().await.expect("begins");
    let waiting = tx.outbox().claim(10, &[]).await.expect("claims");
    let letter = waiting
        .into_iter()
        .find(|message| message.kind == MailSend::KIND)
        .expect("a letter waits");
    Delivery {
        message: Message {
            version: letter.version,
            id: letter.id,
            kind: letter.kind,
            organization: letter.organization,
            payload: letter.payload,
            traceparent: letter.traceparent,
            created_at: letter.created_at,
        },
        attempt: 1,
        redelivered: false,
    }
}

fn header<'a>(letter: &'a str, name: &str) -> &'a str {
    letter
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_default()
}

/// The code that stands in the letter on a line of its own.
fn code(letter: &str) -> &str {
    let lone = |line: &&str| line.starts_with("    ") && !line.trim().contains(' ');
    letter
        .lines()
        .find(lone)
        .map(str::trim)
        .expect("a code stands in it")
}

#[tokio::test]
async fn letter_carries_a_code_that_works() {
    let house = House::new().await;
    let office = PostOffice::open().await;
    let delivery = asks_for_a_password(&house).await;
    assert_eq!(mailer(&house, office.port).handle(&delivery).await, Outcome::Done);
    let letters = office.letters();
    let [letter] = &letters[..] else {
        unreachable!("one letter")
    };
    assert_eq!(header(letter, "To"), "grace@example.com");
    assert!(
        header(letter, "From").contains("<berth@berth.example>"),
        "{letter}"
    );
    assert_eq!(header(letter, "Subject"), "Set a new password for Berth");
    assert!(
        letter.contains("https://berth.example/api/v1/auth/password-resets/confirm"),
        "{letter}"
    );
    assert!(
        letter.contains("berth password reset --url https://berth.example"),
        "{letter}"
    );
    let fresh = Secret::new("another walk on the pier");
    house
        .auth()
        .reset_password(&Secret::new(code(letter)), &fresh, ADDRESS)
        .await
        .expect("the code works");
}

#[tokio::test]
async fn letter_sent_twice_is_the_same_letter() {
    let house = House::new().await;
    let office = PostOffice::open().await;
    let delivery = asks_for_a_password(&house).await;
    for _ in 0..2 {
        assert_eq!(mailer(&house, office.port).handle(&delivery).await, Outcome::Done);
    }
    let letters = office.letters();
    assert_eq!(letters.len(), 2);
    assert_eq!(code(&letters[0]), code(&letters[1]));
    assert_eq!(
        header(&letters[0], "Message-ID"),
        header(&letters[1], "Message-ID")
    );
    assert!(header(&letters[0], "Message-ID").contains(&delivery.message.id.to_string()));
}

#[tokio::test]
async fn letter_that_is_not_needed_any_more_is_not_sent() {
    let house = House::new().await;
    let office = PostOffice::open().await;
    let delivery = asks_for_a_password(&house).await;
    house.clock.advance(TimeDelta::days(30));
    assert_eq!(mailer(&house, office.port).handle(&delivery).await, Outcome::Done);
    assert_eq!(office.letters(), Vec::<String>::new());
}

#[tokio::test]
async fn recipient_that_is_refused_for_good_is_a_dead_letter_and_for_now_is_tried_again() {
    let house = House::new().await;
    let office = PostOffice::open().await;
    let delivery = asks_for_a_password(&house).await;
    let mailer = mailer(&house, office.port);
    // Servers repeat the address; what is written of it stays in logs and queues.
    office.refuse(Some("550 5.1.1 <grace@example.com>: no such mailbox"));
    let refused = mailer.handle(&delivery).await;
    assert!(
        matches!(&refused, Outcome::Fail { reason } if reason.contains("550") && !reason.contains("grace")),
        "{refused:?}"
    );
    office.refuse(Some("451 <grace@example.com> come again"));
    let later = mailer.handle(&delivery).await;
    assert!(
        matches!(&later, Outcome::Retry { after, reason }
            if *after >= Duration::from_secs(5) && reason.contains("451") && !reason.contains("grace")),
        "{later:?}"
    );
    office.refuse(Some("<grace@example.com> is no reply"));
    let garbled = mailer.handle(&delivery).await;
    assert!(
        matches!(&garbled, Outcome::Retry { reason, .. } if !reason.contains("grace")),
        "{garbled:?}"
    );
    // Somebody can mend how one signs in.
    office.refuse(Some("530 sign in first"));
    assert!(matches!(mailer.handle(&delivery).await, Outcome::Retry { .. }));
    office.refuse(None);
    assert_eq!(mailer.handle(&delivery).await, Outcome::Done);
    assert_eq!(office.letters().len(), 1);
}

#[tokio::test]
async fn mail_server_that_is_away_or_silent_is_tried_again() {
    let house = House::new().await;
    let delivery = asks_for_a_password(&house).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("is bound").port();
    let mut impatient = options(port);
    impatient.timeout = Duration::from_millis(200);
    let silent =
        Mailer::new(house.letters(), Arc::new(house.clock.clone()), impatient).expect("is configured");
    assert!(matches!(silent.handle(&delivery).await, Outcome::Retry { .. }));
    drop(listener);
    assert!(matches!(
        mailer(&house, port).handle(&delivery).await,
        Outcome::Retry { .. }
    ));
}

#[tokio::test]
async fn invitation_that_was_never_there_needs_no_letter() {
    let house = House::new().await;
    let office = PostOffice::open().await;
    let work = MailSend::Invitation(berth_domain::id::InvitationId::new(&house.clock, &SystemRandom));
    let delivery = Delivery {
        message: Message::new(
            MessageId::new(&house.clock, &SystemRandom),
            None,
            &work,
            house.now(),
        )
        .expect("a message"),
        attempt: 1,
        redelivered: false,
    };
    assert_eq!(mailer(&house, office.port).handle(&delivery).await, Outcome::Done);
    assert_eq!(office.letters(), Vec::<String>::new());
}

#[tokio::test]
async fn invitation_whose_pepper_is_gone_is_a_dead_letter() {
    let house = House::new().await;
    let office = PostOffice::open().await;
    let invitation = NewInvitation {
        id: berth_domain::id::InvitationId::new(&house.clock, &SystemRandom),
        project: None,
        email: email("bob@example.com"),
        role: berth_store::roles::GivenRole::Builtin(berth_domain::permission::BuiltinRole::Viewer),
        // No configured pepper makes a token with this digest.
        token_hash: [7; 32],
        invited_by: Some(house.owner),
        created_at: house.now(),
        expires_at: house.now() + TimeDelta::days(7),
    };
    let mut tx = house.store.tenant(house.organization).await.expect("begins");
    tx.invitations()
        .insert(house.organization, &invitation)
        .await
        .expect("inserted");
    tx.commit().await.expect("commits");
    house.ask_for(&MailSend::Invitation(invitation.id)).await;
    let delivery = next_letter(&house).await;
    let outcome = mailer(&house, office.port).handle(&delivery).await;
    assert!(
        matches!(&outcome, Outcome::Fail { reason } if reason.contains("pepper")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn sender_that_is_no_address_is_refused_at_the_start() {
    let house = House::new().await;
    let mut wrong = options(25);
    wrong.from = "nobody".to_owned();
    let error =
        Mailer::new(house.letters(), Arc::new(house.clock.clone()), wrong).expect_err("is no address");
    assert!(matches!(error, ConfigurationError::From { .. }), "{error}");
}
