//! People, their passwords and sessions.

use anyhow::{Context as _, Result};
use berth_domain::id::UserId;
use berth_store::Page;
use berth_store::page::Order;
use berth_store::users::{EMAIL_TAKEN, NewUser};
use chrono::TimeDelta;

use crate::world::World;

#[tokio::test]
async fn person_is_found_by_address_with_what_it_takes_to_sign_in() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let email = "ada@example.com".parse()?;
    let found = world.store.find_user_by_email(&email).await?.context("found")?;
    assert_eq!((found.user, found.password_hash), (user, None));

    let mut tx = world.store.person(user).await?;
    tx.passwords().set(user, "first", world.now()).await?;
    tx.passwords().set(user, "second", world.now()).await?;
    let stored = tx.passwords().show(user).await?.context("a password")?;
    assert_eq!(stored.hash, "second");
    tx.commit().await?;
    let found = world.store.find_user_by_email(&email).await?.context("found")?;
    assert_eq!(found.password_hash.as_deref(), Some("second"));
    assert!(!found.operator && found.disabled_at.is_none());
    assert!(
        world
            .store
            .find_user_by_email(&"eve@example.com".parse()?)
            .await?
            .is_none()
    );
    Ok(())
}

#[tokio::test]
async fn address_belongs_to_one_person() -> Result<()> {
    let world = World::new().await?;
    world.user("ada@example.com").await?;
    let error = world
        .user("ada@example.com")
        .await
        .err()
        .context("two people have one address")?;
    let error = error.downcast::<berth_store::Error>()?;
    assert_eq!(error.constraint(), Some(EMAIL_TAKEN));
    Ok(())
}

#[tokio::test]
async fn nobody_makes_themselves_an_operator() -> Result<()> {
    use sqlx::Connection as _;

    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let mut app = sqlx::PgConnection::connect(&world.database.app_url()).await?;
    sqlx::query("SELECT set_config('berth.user_id', $1, false)")
        .bind(user.as_uuid().to_string())
        .execute(&mut app)
        .await?;
    for statement in [
        "UPDATE users SET operator = true",
        "UPDATE users SET disabled_at = NULL",
    ] {
        let refusal = sqlx::query(statement)
            .execute(&mut app)
            .await
            .err()
            .context(statement)?;
        assert!(refusal.to_string().contains("permission denied"), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn person_renames_themselves_and_nobody_else() -> Result<()> {
    let world = World::new().await?;
    let ada = world.user("ada@example.com").await?;
    let bob = world.user("bob@example.com").await?;
    let mut tx = world.store.person(ada).await?;
    assert!(tx.users().rename(ada, Some(&"Countess".parse()?)).await?);
    assert!(!tx.users().rename(bob, None).await?);
    assert_eq!(
        tx.users().show(ada).await?.context("shown")?.name,
        Some("Countess".parse()?)
    );
    Ok(())
}

#[tokio::test]
async fn refresh_token_is_used_once() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let session = world.session(user, [1; 32]).await?;
    let found = world.store.find_refresh_token(&[1; 32]).await?.context("found")?;
    assert_eq!((found.session, found.user, found.used_at), (session, user, None));

    let mut tx = world.store.person(user).await?;
    assert!(tx.sessions().lock(user, session).await?.is_some());
    assert!(tx.refresh_tokens().mark_used(user, &[1; 32], world.now()).await?);
    tx.commit().await?;
    let mut tx = world.store.person(user).await?;
    assert!(!tx.refresh_tokens().mark_used(user, &[1; 32], world.now()).await?);
    let found = world.store.find_refresh_token(&[1; 32]).await?.context("found")?;
    assert_eq!(found.used_at, Some(world.now()));
    assert!(world.store.find_refresh_token(&[2; 32]).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn ended_sessions_are_told_and_no_longer_listed() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let first = world.session(user, [1; 32]).await?;
    world.clock.advance(TimeDelta::seconds(1));
    let second = world.session(user, [2; 32]).await?;
    world.clock.advance(TimeDelta::seconds(1));
    let third = world.session(user, [3; 32]).await?;
    let now = world.now();

    let mut tx = world.store.person(user).await?;
    let ids = |sessions: Vec<berth_store::sessions::Session>| -> Vec<_> {
        sessions.into_iter().map(|session| session.id).collect()
    };
    assert_eq!(ids(tx.sessions().list(user, now).await?), [third, second, first]);
    assert!(tx.sessions().end(user, first, "signed_out", now).await?);
    assert!(!tx.sessions().end(user, first, "signed_out", now).await?);
    assert_eq!(
        tx.sessions()
            .end_others(user, Some(third), "password", now)
            .await?,
        1
    );
    assert_eq!(ids(tx.sessions().list(user, now).await?), [third]);
    assert!(
        tx.sessions().list(user, world.later(24 * 31)).await?.is_empty(),
        "expired ones are left out"
    );
    tx.commit().await?;
    let state = world.store.find_session(second).await?.context("found")?;
    assert_eq!((state.user, state.ended_at), (user, Some(now)));
    assert_eq!(
        world.store.find_session(third).await?.context("found")?.ended_at,
        None
    );
    Ok(())
}

#[tokio::test]
async fn password_reset_sets_the_password_and_ends_every_session_once() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let session = world.session(user, [1; 32]).await?;
    world.password_reset("ada@example.com", [7; 32]).await?;
    let found = world
        .store
        .find_password_reset(&[7; 32])
        .await?
        .context("found")?;
    assert_eq!((found.email.as_str(), found.used_at), ("ada@example.com", None));

    let mut tx = world.store.public().await?;
    assert_eq!(
        tx.password_resets().consume(&[8; 32], "new", world.now()).await?,
        None
    );
    assert_eq!(
        tx.password_resets().consume(&[7; 32], "new", world.now()).await?,
        Some(user)
    );
    assert_eq!(
        tx.password_resets()
            .consume(&[7; 32], "newer", world.now())
            .await?,
        None
    );
    tx.commit().await?;
    let credentials = world
        .store
        .find_user_by_email(&"ada@example.com".parse()?)
        .await?
        .context("found")?;
    assert_eq!(credentials.password_hash.as_deref(), Some("new"));
    let state = world.store.find_session(session).await?.context("found")?;
    assert_eq!(state.ended_at, Some(world.now()));
    Ok(())
}

#[tokio::test]
async fn password_reset_is_refused_when_late_or_for_nobody_or_for_the_disabled() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    world.password_reset("ada@example.com", [1; 32]).await?;
    world.password_reset("nobody@example.com", [2; 32]).await?;
    let mut tx = world.store.public().await?;
    assert_eq!(
        tx.password_resets()
            .consume(&[1; 32], "new", world.later(2))
            .await?,
        None
    );
    assert_eq!(
        tx.password_resets().consume(&[2; 32], "new", world.now()).await?,
        None
    );
    drop(tx);
    let mut tx = world.store.system().await?;
    assert!(tx.users().disable(user, world.now()).await?);
    tx.commit().await?;
    let mut tx = world.store.public().await?;
    assert_eq!(
        tx.password_resets().consume(&[1; 32], "new", world.now()).await?,
        None
    );
    Ok(())
}

#[tokio::test]
async fn letters_about_a_reset_go_to_accounts_alone() -> Result<()> {
    let world = World::new().await?;
    world.user("ada@example.com").await?;
    let known = world.password_reset("ada@example.com", [1; 32]).await?;
    let unknown = world.password_reset("nobody@example.com", [2; 32]).await?;
    let mut tx = world.store.system().await?;
    let letter = tx.password_resets().letter(known).await?.context("an account")?;
    assert_eq!(
        (letter.email.as_str(), letter.token_hash, letter.has_password),
        ("ada@example.com", [1; 32], false)
    );
    assert!(tx.password_resets().letter(unknown).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn first_operator_is_made_once_however_many_try() -> Result<()> {
    let world = World::new().await?;
    let attempt = async |email: &str| -> Result<bool> {
        let user = NewUser {
            id: UserId::new(&world.clock, &world.random),
            email: email.parse()?,
            name: None,
            created_at: world.now(),
        };
        let mut tx = world.store.system().await?;
        let made = tx.users().insert_first_operator(&user).await?;
        tx.commit().await?;
        Ok(made)
    };
    let (first, second, third) = tokio::join!(
        attempt("one@example.com"),
        attempt("two@example.com"),
        attempt("three@example.com")
    );
    let made = [first?, second?, third?];
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    let mut tx = world.store.system().await?;
    let list = tx.users().list(&Page::first(10, Order::Ascending)).await?;
    assert_eq!(list.items.len(), 1);
    assert!(list.items[0].operator);
    Ok(())
}

#[tokio::test]
async fn operator_disables_people_and_lets_them_in_again() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let session = world.session(user, [1; 32]).await?;
    let mut tx = world.store.system().await?;
    assert!(tx.users().disable(user, world.now()).await?);
    assert!(!tx.users().disable(user, world.now()).await?);
    assert!(tx.users().make_operator(user, true).await?);
    tx.users().set_password(user, "given", world.now()).await?;
    tx.commit().await?;
    let state = world.store.find_session(session).await?.context("found")?;
    assert_eq!(
        (state.ended_at, state.user_disabled_at, state.operator),
        (Some(world.now()), Some(world.now()), true)
    );
    let mut tx = world.store.system().await?;
    assert_eq!(
        tx.users().lock_operators().await?,
        [],
        "disabled ones do not count"
    );
    assert!(tx.users().enable(user).await?);
    assert_eq!(tx.users().lock_operators().await?, [user]);
    assert!(!tx.users().enable(user).await?);
    assert_eq!(tx.users().show(user).await?.context("shown")?.disabled_at, None);
    Ok(())
}
