//! What is over is removed, in small portions.

use anyhow::Result;
use berth_domain::digest::Sha256;

use crate::world::World;

#[tokio::test]
async fn sweeps_remove_what_expired_and_keep_the_rest() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.furnished_tenant("acme").await?;
    let organization = tenant.organization;
    let key = world.key(tenant, None, "old").await?;
    let mut tx = world.store.tenant(organization).await?;
    tx.api_key_secrets()
        .insert(organization, &world.secret(key, "new"))
        .await?;
    tx.api_key_secrets()
        .expire_others(organization, key, "new", world.later(1))
        .await?;
    tx.commit().await?;

    let mut tx = world.store.system().await?;
    let mut expired = tx.expired();
    let now = world.now();
    assert_eq!(expired.remove_sessions(now, 10).await?, 0);
    assert_eq!(expired.remove_password_resets(now, 10).await?, 0);
    assert_eq!(expired.remove_invitations(now, 10).await?, 0);
    assert_eq!(expired.remove_idempotency_keys(now, 10).await?, 0);
    assert_eq!(expired.remove_api_key_secrets(now, 10).await?, 0);
    let later = world.later(24 * 365);
    assert_eq!(expired.remove_sessions(later, 10).await?, 1);
    assert_eq!(expired.remove_password_resets(later, 10).await?, 1);
    assert_eq!(expired.remove_invitations(later, 10).await?, 1);
    assert_eq!(expired.remove_idempotency_keys(later, 10).await?, 1);
    assert_eq!(expired.remove_api_key_secrets(later, 10).await?, 1);
    tx.commit().await?;

    assert!(world.store.find_api_key("old").await?.is_none());
    assert!(world.store.find_api_key("new").await?.is_some());
    let token = Sha256::of(b"acme");
    assert!(world.store.find_refresh_token(token.as_bytes()).await?.is_none());
    assert!(world.store.find_password_reset(token.as_bytes()).await?.is_none());
    assert!(world.store.find_invitation(token.as_bytes()).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn ended_session_is_swept_before_it_expires() -> Result<()> {
    let world = World::new().await?;
    let user = world.user("ada@example.com").await?;
    let ended = world.session(user, [1; 32]).await?;
    let open = world.session(user, [2; 32]).await?;
    let mut tx = world.store.person(user).await?;
    assert!(tx.sessions().end(user, ended, "signed_out", world.now()).await?);
    tx.commit().await?;
    let mut tx = world.store.system().await?;
    assert_eq!(tx.expired().remove_sessions(world.later(1), 10).await?, 1);
    tx.commit().await?;
    assert!(world.store.find_session(ended).await?.is_none());
    assert!(world.store.find_session(open).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn sweep_takes_no_more_than_it_is_told() -> Result<()> {
    let world = World::new().await?;
    for token in 1..=3 {
        world.password_reset("ada@example.com", [token; 32]).await?;
    }
    let mut tx = world.store.system().await?;
    let later = world.later(2);
    assert_eq!(tx.expired().remove_password_resets(later, 2).await?, 2);
    assert_eq!(tx.expired().remove_password_resets(later, 2).await?, 1);
    assert_eq!(tx.expired().remove_password_resets(later, 2).await?, 0);
    Ok(())
}
