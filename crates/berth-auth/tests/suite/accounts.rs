//! The first operator, sign-up, forgotten passwords.

use berth_auth::accounts::{BootstrapError, NewAccount, RequestResetError, ResetPasswordError, SignUpError};
use berth_auth::auth::SignUpPolicy;
use berth_auth::letters::{LetterSubject, Letters};
use berth_auth::password_policy;
use berth_auth::sessions::{SignInError, TokenError};
use berth_domain::access::can;
use berth_domain::permission::BuiltinRole;
use berth_domain::secret::Secret;
use berth_domain::work::MailSend;
use berth_store::idempotency_keys::Keep;
use berth_store::roles::GivenRole;
use chrono::TimeDelta;

use crate::house::{ADDRESS, House, PASSWORD, account, email, peppers};

fn letters(house: &House) -> Letters {
    Letters::new(
        house.store.clone(),
        peppers(),
        std::sync::Arc::new(house.clock.clone()),
    )
}

/// What waits in the outbox, as text and as orders to send letters.
async fn orders(house: &House) -> (String, Vec<MailSend>) {
    let mut tx = house.store.system().await.expect("begins");
    let messages = tx.outbox().claim(100, &[]).await.expect("claims");
    let text = messages
        .iter()
        .map(|message| message.payload.to_string())
        .collect();
    let orders = messages
        .into_iter()
        .map(|message| serde_json::from_value(message.payload).expect("an order to send a letter"))
        .collect();
    (text, orders)
}

#[tokio::test]
async fn first_operator_is_made_once() {
    let house = House::new().await;
    let password = Secret::new(PASSWORD);
    let made = house
        .auth
        .bootstrap(email("op@example.com"), &password, None)
        .await
        .expect("the first");
    for address in ["op@example.com", "other@example.com"] {
        let again = house.auth.bootstrap(email(address), &password, None).await;
        assert!(matches!(again, Err(BootstrapError::Exists)), "{again:?}");
    }
    let signed_in = house
        .auth
        .sign_in(&email("op@example.com"), &password, None, ADDRESS)
        .await
        .expect("signs in");
    let person = house.person(&signed_in).await;
    assert!(person.user == made && person.operator);
}

#[tokio::test]
async fn of_several_who_make_the_first_operator_at_once_one_succeeds() {
    let house = House::new().await;
    let password = Secret::new(PASSWORD);
    let (one, two, three) = tokio::join!(
        house.auth.bootstrap(email("one@example.com"), &password, None),
        house.auth.bootstrap(email("two@example.com"), &password, None),
        house.auth.bootstrap(email("three@example.com"), &password, None),
    );
    let made = [one, two, three].into_iter().flatten().count();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn bootstrap_takes_over_no_account_and_no_weak_password() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    let taken = house
        .auth
        .bootstrap(
            email("ada@example.com"),
            &Secret::new("an entirely new one"),
            None,
        )
        .await;
    assert!(matches!(taken, Err(BootstrapError::EmailTaken)), "{taken:?}");
    let weak = house
        .auth
        .bootstrap(email("op@example.com"), &Secret::new("admin"), None)
        .await;
    assert!(matches!(weak, Err(BootstrapError::Policy(_))), "{weak:?}");
}

#[tokio::test]
async fn nobody_signs_up_where_operators_make_accounts() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let access = house
        .access::<can::MembersManage>(&tenant.owner, tenant.organization)
        .await;
    let role = GivenRole::Builtin(BuiltinRole::Viewer);
    let invited = house
        .auth
        .invite(&access, email("ada@example.com"), role, &Keep::nothing())
        .await
        .expect("invites");
    let closed = house.other(|options| options.sign_up = SignUpPolicy::Closed);
    for invitation in [None, invited.token] {
        let refused = closed
            .sign_up(
                NewAccount {
                    invitation,
                    ..account("ada@example.com")
                },
                ADDRESS,
            )
            .await;
        assert!(matches!(refused, Err(SignUpError::Closed)), "{refused:?}");
    }
}

#[tokio::test]
async fn sign_up_by_invitation_needs_one() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let access = house
        .access::<can::MembersManage>(&tenant.owner, tenant.organization)
        .await;
    let role = GivenRole::Builtin(BuiltinRole::Developer);
    let invited = house
        .auth
        .invite(&access, email("ada@example.com"), role, &Keep::nothing())
        .await
        .expect("invites");
    let invite = house.other(|options| options.sign_up = SignUpPolicy::Invite);
    let without = invite.sign_up(account("ada@example.com"), ADDRESS).await;
    assert!(
        matches!(without, Err(SignUpError::InvitationNeeded)),
        "{without:?}"
    );
    for (address, token) in [
        ("ada@example.com", Secret::new("bthi_rubbish")),
        ("eve@example.com", invited.token.clone().expect("no mail is sent")),
    ] {
        let invitation = Some(token);
        let refused = invite
            .sign_up(
                NewAccount {
                    invitation,
                    ..account(address)
                },
                ADDRESS,
            )
            .await;
        assert!(matches!(refused, Err(SignUpError::Invitation(_))), "{refused:?}");
    }
    let invitation = invited.token;
    let signed_in = invite
        .sign_up(
            NewAccount {
                invitation,
                ..account("ada@example.com")
            },
            ADDRESS,
        )
        .await;
    let signed_in = signed_in.expect("signs up");
    let person = invite
        .authenticate_token(signed_in.access.text.expose())
        .await
        .expect("holds");
    let ada = berth_domain::access::Caller::Person(person);
    house.access::<can::ModelsWrite>(&ada, tenant.organization).await;
}

#[tokio::test]
async fn address_has_one_account() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    let again = house.auth.sign_up(account("ADA@example.com"), ADDRESS).await;
    assert!(matches!(again, Err(SignUpError::EmailTaken)), "{again:?}");
    let (one, other) = tokio::join!(
        house.auth.sign_up(account("eve@example.com"), ADDRESS),
        house.auth.sign_up(account("eve@example.com"), ADDRESS),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn weak_password_makes_no_account() {
    let house = House::new().await;
    let password = Secret::new("password1234");
    let refused = house
        .auth
        .sign_up(
            NewAccount {
                password,
                ..account("ada@example.com")
            },
            ADDRESS,
        )
        .await;
    assert!(
        matches!(refused, Err(SignUpError::Policy(password_policy::Error::Common))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn forgotten_password_is_set_by_a_letter() {
    let house = House::with(|options| options.mail = true).await;
    let signed_in = house.sign_up("ada@example.com").await;
    house
        .auth
        .request_password_reset(&email("ada@example.com"), ADDRESS)
        .await
        .expect("asks");
    let (text, orders) = orders(&house).await;
    let [MailSend::PasswordReset(id)] = orders[..] else {
        panic!("one order to send a letter is expected: {orders:?}");
    };
    let letter = letters(&house)
        .password_reset(id)
        .await
        .expect("reads")
        .expect("is to be sent");
    assert_eq!(
        (letter.to.as_str(), &letter.subject),
        ("ada@example.com", &LetterSubject::ForgottenPassword)
    );
    assert!(
        !text.contains(letter.token.expose()),
        "the outbox holds no token: {text}"
    );
    let again = letters(&house)
        .password_reset(id)
        .await
        .expect("reads")
        .expect("is to be sent");
    assert_eq!(
        again.token, letter.token,
        "a letter that is sent twice carries the same link"
    );

    let new = Secret::new("the pier is gone now");
    let weak = house
        .auth
        .reset_password(&letter.token, &Secret::new("ada@example.com"), ADDRESS)
        .await;
    assert!(matches!(weak, Err(ResetPasswordError::Policy(_))), "{weak:?}");
    let user = house
        .auth
        .reset_password(&letter.token, &new, ADDRESS)
        .await
        .expect("sets");
    assert_eq!(user, signed_in.user);
    let ended = house
        .auth
        .authenticate_token(signed_in.access.text.expose())
        .await;
    assert!(matches!(ended, Err(TokenError::SessionEnded)), "{ended:?}");
    let old = house
        .auth
        .sign_in(&email("ada@example.com"), &Secret::new(PASSWORD), None, ADDRESS)
        .await;
    assert!(matches!(old, Err(SignInError::Credentials)));
    house
        .auth
        .sign_in(&email("ada@example.com"), &new, None, ADDRESS)
        .await
        .expect("signs in");

    let twice = house.auth.reset_password(&letter.token, &new, ADDRESS).await;
    assert!(matches!(twice, Err(ResetPasswordError::Link)), "{twice:?}");
    assert!(
        letters(&house).password_reset(id).await.expect("reads").is_none(),
        "nothing is left to send"
    );
}

#[tokio::test]
async fn of_two_who_use_a_link_at_once_one_succeeds() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    let link = house
        .auth
        .recover_account(&email("ada@example.com"))
        .await
        .expect("a link");
    let token = link.token.expect("no mail is sent");
    let (one, other) = (
        Secret::new("the pier is gone now"),
        Secret::new("the pier is back again"),
    );
    let (one, other) = tokio::join!(
        house.auth.reset_password(&token, &one, ADDRESS),
        house.auth.reset_password(&token, &other, ADDRESS),
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn request_for_an_unknown_address_looks_the_same_and_sends_nothing() {
    let house = House::with(|options| options.mail = true).await;
    house
        .auth
        .request_password_reset(&email("nobody@example.com"), ADDRESS)
        .await
        .expect("the same answer");
    let (_, orders) = orders(&house).await;
    let [MailSend::PasswordReset(id)] = orders[..] else {
        panic!("the same work is expected: {orders:?}");
    };
    assert!(letters(&house).password_reset(id).await.expect("reads").is_none());
}

#[tokio::test]
async fn link_expires_and_rubbish_is_no_link() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    let link = house
        .auth
        .recover_account(&email("ada@example.com"))
        .await
        .expect("a link");
    let (token, new) = (
        link.token.expect("no mail is sent"),
        Secret::new("the pier is gone now"),
    );
    for text in [
        "",
        "bthp_",
        "bthi_rubbish",
        &token.expose()[..token.expose().len() - 1],
    ] {
        let refused = house.auth.reset_password(&Secret::new(text), &new, ADDRESS).await;
        assert!(
            matches!(refused, Err(ResetPasswordError::Link)),
            "{text:?}: {refused:?}"
        );
    }
    house.clock.advance(TimeDelta::hours(1));
    let late = house.auth.reset_password(&token, &new, ADDRESS).await;
    assert!(matches!(late, Err(ResetPasswordError::Link)), "{late:?}");
}

#[tokio::test]
async fn asking_for_letters_is_throttled_by_account() {
    let house = House::with(|options| options.mail = true).await;
    for _ in 0..3 {
        house
            .auth
            .request_password_reset(&email("ada@example.com"), ADDRESS)
            .await
            .expect("asks");
    }
    let refused = house
        .auth
        .request_password_reset(&email("ada@example.com"), ADDRESS)
        .await;
    assert!(
        matches!(refused, Err(RequestResetError::Throttled(_))),
        "{refused:?}"
    );
    house
        .auth
        .request_password_reset(&email("eve@example.com"), ADDRESS)
        .await
        .expect("another account");
}

#[tokio::test]
async fn without_mail_a_request_leaves_nothing_behind() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    house
        .auth
        .request_password_reset(&email("ada@example.com"), ADDRESS)
        .await
        .expect("the same answer");
    let (_, orders) = orders(&house).await;
    assert_eq!(orders, []);
}

#[tokio::test]
async fn person_renames_themselves() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    let person = house.person(&signed_in).await;
    let name = "Ada".parse().expect("a title");
    house
        .auth
        .rename_account(&person, Some(&name))
        .await
        .expect("renames");
    let account = house.auth.account(&person).await.expect("reads").expect("exists");
    assert_eq!(account.name, Some(name));
}
