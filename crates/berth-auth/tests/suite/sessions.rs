//! Signing in, refreshing, signing out.

use berth_auth::accounts::ChangePasswordError;
use berth_auth::sessions::{CACHE_LIFETIME, RefreshError, SignInError, SignedIn, TokenError};
use berth_auth::tokens;
use berth_domain::access::can;
use berth_domain::secret::Secret;
use chrono::TimeDelta;

use crate::house::{ADDRESS, House, PASSWORD, email, first, person, user};

async fn sign_in(house: &House, address: &str, password: &str) -> Result<SignedIn, SignInError> {
    let password = Secret::new(password);
    house
        .auth
        .sign_in(&email(address), &password, None, ADDRESS)
        .await
}

async fn token_error(house: &House, signed_in: &SignedIn) -> TokenError {
    let answer = house
        .auth
        .authenticate_token(signed_in.access.text.expose())
        .await;
    answer.expect_err("the token is refused")
}

#[tokio::test]
async fn right_password_opens_a_session() {
    let house = House::new().await;
    let made = house.sign_up("ada@example.com").await;
    let again = sign_in(&house, "ADA@example.com", PASSWORD)
        .await
        .expect("signs in");
    assert_eq!((again.user, again.session == made.session), (made.user, false));
    let person = house.person(&again).await;
    assert_eq!(
        (person.user, person.session, person.operator),
        (made.user, again.session, false)
    );
    let account = house.auth.account(&person).await.expect("reads").expect("exists");
    assert_eq!(account.email.as_str(), "ada@example.com");
}

#[tokio::test]
async fn wrong_password_and_unknown_address_are_told_alike() {
    let house = House::new().await;
    house.sign_up("ada@example.com").await;
    for (address, password) in [
        ("ada@example.com", "another long walk"),
        ("ada@example.com", ""),
        ("eve@example.com", PASSWORD),
    ] {
        let refused = sign_in(&house, address, password).await;
        assert!(
            matches!(refused, Err(SignInError::Credentials)),
            "{address} {password}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn disabled_account_is_told_to_who_knows_the_password() {
    let house = House::new().await;
    let operator = house.operator().await;
    let operator = house.auth.authorize_operator(&operator).expect("an operator");
    let ada = house.sign_up("ada@example.com").await;
    house
        .auth
        .disable_user(&operator, ada.user)
        .await
        .expect("disables");
    assert!(matches!(
        sign_in(&house, "ada@example.com", PASSWORD).await,
        Err(SignInError::Disabled)
    ));
    let wrong = sign_in(&house, "ada@example.com", "another long walk").await;
    assert!(matches!(wrong, Err(SignInError::Credentials)));
    house
        .auth
        .enable_user(&operator, ada.user)
        .await
        .expect("enables");
    assert!(sign_in(&house, "ada@example.com", PASSWORD).await.is_ok());
    assert!(
        matches!(token_error(&house, &ada).await, TokenError::SessionEnded),
        "enabling revives no session"
    );
}

#[tokio::test]
async fn access_token_ends_and_refreshing_gives_another() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    house.clock.advance(TimeDelta::minutes(10));
    let refused = token_error(&house, &signed_in).await;
    assert!(
        matches!(refused, TokenError::Token(tokens::Error::Expired)),
        "{refused:?}"
    );
    let refreshed = house
        .auth
        .refresh(&signed_in.refresh, ADDRESS)
        .await
        .expect("refreshes");
    assert_eq!(
        (refreshed.user, refreshed.session),
        (signed_in.user, signed_in.session)
    );
    assert_ne!(refreshed.refresh, signed_in.refresh);
    house.person(&refreshed).await;
}

#[tokio::test]
async fn refresh_token_used_twice_ends_the_session() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    let refreshed = house
        .auth
        .refresh(&signed_in.refresh, ADDRESS)
        .await
        .expect("refreshes");
    house.person(&refreshed).await;
    let reused = house.auth.refresh(&signed_in.refresh, ADDRESS).await;
    assert!(matches!(reused, Err(RefreshError::Reused)), "{reused:?}");
    let next = house.auth.refresh(&refreshed.refresh, ADDRESS).await;
    assert!(
        matches!(next, Err(RefreshError::Invalid)),
        "the family is gone: {next:?}"
    );
    assert!(matches!(
        token_error(&house, &refreshed).await,
        TokenError::SessionEnded
    ));
    assert!(
        sign_in(&house, "ada@example.com", PASSWORD).await.is_ok(),
        "the account is not"
    );
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_succeeds_and_the_session_ends() {
    let house = House::new().await;
    for round in 0..8 {
        let signed_in = house.sign_up(&format!("ada{round}@example.com")).await;
        let (one, other) = tokio::join!(
            house.auth.refresh(&signed_in.refresh, ADDRESS),
            house.auth.refresh(&signed_in.refresh, ADDRESS)
        );
        let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
        let won = won.expect("exactly one succeeds");
        assert!(matches!(lost, Err(RefreshError::Reused)), "{lost:?}");
        let next = house.auth.refresh(&won.refresh, ADDRESS).await;
        assert!(matches!(next, Err(RefreshError::Invalid)), "{next:?}");
    }
}

#[tokio::test]
async fn refresh_token_ends_after_its_time_and_the_session_after_its_own() {
    let house = House::new().await;
    let idle = house.sign_up("idle@example.com").await;
    let mut busy = house.sign_up("busy@example.com").await;
    for _ in 0..4 {
        house.clock.advance(TimeDelta::days(20));
        busy = house
            .auth
            .refresh(&busy.refresh, ADDRESS)
            .await
            .expect("refreshes within 30 days");
    }
    let late = house.auth.refresh(&idle.refresh, ADDRESS).await;
    assert!(matches!(late, Err(RefreshError::Invalid)), "{late:?}");
    assert_eq!(
        busy.refresh_expires_at,
        house.clock_now() + TimeDelta::days(10),
        "not beyond 90 days"
    );
    house.clock.advance(TimeDelta::days(10));
    let over = house.auth.refresh(&busy.refresh, ADDRESS).await;
    assert!(matches!(over, Err(RefreshError::Invalid)), "{over:?}");
}

#[tokio::test]
async fn rubbish_is_no_refresh_token() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    for text in [
        "",
        "bthr_",
        "bthr_0123456789012345678901234567890123456789012",
        signed_in.access.text.expose(),
    ] {
        let refused = house.auth.refresh(&Secret::new(text), ADDRESS).await;
        assert!(
            matches!(refused, Err(RefreshError::Invalid)),
            "{text:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_no_other() {
    let house = House::new().await;
    let one = house.sign_up("ada@example.com").await;
    let other = sign_in(&house, "ada@example.com", PASSWORD)
        .await
        .expect("signs in");
    let person = house.person(&one).await;
    house.auth.sign_out(&person).await.expect("signs out");
    assert!(matches!(
        token_error(&house, &one).await,
        TokenError::SessionEnded
    ));
    assert!(matches!(
        house.auth.refresh(&one.refresh, ADDRESS).await,
        Err(RefreshError::Invalid)
    ));
    house.person(&other).await;
}

#[tokio::test]
async fn another_node_forgets_an_ended_session_soon() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    let person = house.person(&signed_in).await;
    let other = house.other(|_| ());
    // The other node signs with a key of its own, so its cache is what is looked at here, through its own token.
    let there = other
        .sign_in(&email("ada@example.com"), &Secret::new(PASSWORD), None, ADDRESS)
        .await
        .expect("signs in");
    other
        .authenticate_token(there.access.text.expose())
        .await
        .expect("holds, and is remembered");
    assert!(
        house
            .auth
            .end_session(&person, there.session)
            .await
            .expect("ends")
    );
    let noticed = berth_test_support::wait_until(CACHE_LIFETIME * 4, || async {
        matches!(
            other.authenticate_token(there.access.text.expose()).await,
            Err(TokenError::SessionEnded)
        )
    });
    noticed.await.expect("the other node notices");
}

#[tokio::test]
async fn person_sees_and_ends_their_own_sessions_only() {
    let house = House::new().await;
    let ada = house.sign_up("ada@example.com").await;
    // Ids sort by the millisecond.
    house.clock.advance(TimeDelta::milliseconds(1));
    let phone = sign_in(&house, "ada@example.com", PASSWORD)
        .await
        .expect("signs in");
    let eve = house.sign_up("eve@example.com").await;
    let (ada_here, eve_here) = (house.person(&ada).await, house.person(&eve).await);
    let listed = house.auth.sessions(&ada_here).await.expect("lists");
    let ids: Vec<_> = listed.iter().map(|session| session.id).collect();
    assert_eq!(ids, [phone.session, ada.session]);
    assert!(
        !house
            .auth
            .end_session(&eve_here, ada.session)
            .await
            .expect("asks"),
        "another's session"
    );
    house.person(&ada).await;
    assert_eq!(house.auth.end_other_sessions(&ada_here).await.expect("ends"), 1);
    assert!(matches!(
        token_error(&house, &phone).await,
        TokenError::SessionEnded
    ));
    house.person(&ada).await;
}

#[tokio::test]
async fn changing_the_password_ends_every_other_session() {
    let house = House::new().await;
    let here = house.sign_up("ada@example.com").await;
    let elsewhere = sign_in(&house, "ada@example.com", PASSWORD)
        .await
        .expect("signs in");
    let person = house.person(&here).await;
    let (present, new) = (Secret::new(PASSWORD), Secret::new("the pier is gone now"));
    for (present, new, expected) in [
        ("not the password", "the pier is gone now", "Credentials"),
        (PASSWORD, "short", "Policy(TooShort)"),
        (PASSWORD, "ada@example.com", "Policy(LikeEmail)"),
    ] {
        let refused = house
            .auth
            .change_password(&person, &Secret::new(present), &Secret::new(new))
            .await;
        assert_eq!(format!("{:?}", refused.expect_err("refused")), expected);
    }
    house
        .auth
        .change_password(&person, &present, &new)
        .await
        .expect("changes");
    house.person(&here).await;
    assert!(matches!(
        token_error(&house, &elsewhere).await,
        TokenError::SessionEnded
    ));
    assert!(matches!(
        house.auth.refresh(&elsewhere.refresh, ADDRESS).await,
        Err(RefreshError::Invalid)
    ));
    assert!(matches!(
        sign_in(&house, "ada@example.com", PASSWORD).await,
        Err(SignInError::Credentials)
    ));
    assert!(sign_in(&house, "ada@example.com", new.expose()).await.is_ok());
}

#[tokio::test]
async fn guessing_the_present_password_is_throttled() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    let person = house.person(&signed_in).await;
    let new = Secret::new("the pier is gone now");
    for _ in 0..10 {
        let refused = house
            .auth
            .change_password(&person, &Secret::new("a guess"), &new)
            .await;
        assert!(
            matches!(refused, Err(ChangePasswordError::Credentials)),
            "{refused:?}"
        );
    }
    let refused = house
        .auth
        .change_password(&person, &Secret::new(PASSWORD), &new)
        .await;
    assert!(
        matches!(refused, Err(ChangePasswordError::Throttled(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn hash_of_old_parameters_is_replaced_at_sign_in() {
    let house = House::new().await;
    let signed_in = house.sign_up("ada@example.com").await;
    let stronger = house.other(|options| options.passwords.iterations = 3);
    let (address, password) = (email("ada@example.com"), Secret::new(PASSWORD));
    stronger
        .sign_in(&address, &password, None, ADDRESS)
        .await
        .expect("signs in");
    let stored = house
        .store
        .person(signed_in.user)
        .await
        .expect("begins")
        .passwords()
        .show(signed_in.user)
        .await
        .expect("reads")
        .expect("has a password");
    assert!(stored.hash.contains("m=64,t=3,p=1"), "{}", stored.hash);
    stronger
        .sign_in(&address, &password, None, ADDRESS)
        .await
        .expect("signs in with the new hash");
}

#[tokio::test]
async fn token_of_a_person_who_was_removed_from_an_organization_loses_it_at_once() {
    let house = House::new().await;
    let tenant = house.tenant("acme").await;
    let role = berth_domain::permission::BuiltinRole::Viewer;
    let (viewer, membership) = house.member(&tenant, None, "viewer@example.com", role).await;
    house
        .access::<can::ModelsRead>(&viewer, tenant.organization)
        .await;
    let access = house
        .access::<can::MembersManage>(&tenant.owner, tenant.organization)
        .await;
    house
        .auth
        .remove_member(&access, membership)
        .await
        .expect("removes");
    assert!(
        house
            .auth
            .authorize::<can::ModelsRead>(&viewer, tenant.organization)
            .await
            .is_err()
    );
    let organizations = house
        .auth
        .list_organizations(&person(&viewer), &first())
        .await
        .expect("lists");
    assert!(organizations.items.is_empty(), "{:?}", user(&viewer));
}
