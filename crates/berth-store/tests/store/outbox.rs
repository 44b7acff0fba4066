//! Messages that wait for the relay.

use anyhow::{Context as _, Result};
use berth_domain::id::{InvitationId, MessageId, OrganizationId, VersionId};
use berth_domain::work::{MailSend, ModelCheck, Work};
use berth_store::{Error, Tx};

use crate::world::World;

async fn check(world: &World, tx: &mut Tx, organization: OrganizationId) -> Result<MessageId> {
    let id = MessageId::new(&world.clock, &world.random);
    let work = ModelCheck {
        version: VersionId::new(&world.clock, &world.random),
    };
    tx.outbox()
        .add(
            id,
            Some(organization),
            &work,
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            world.now(),
        )
        .await?;
    Ok(id)
}

#[tokio::test]
async fn message_waits_from_the_commit_until_it_is_removed() -> Result<()> {
    let world = World::new().await?;
    let organization = world.tenant("acme").await?.organization;
    let mut tx = world.store.tenant(organization).await?;
    check(&world, &mut tx, organization).await?;
    tx.rollback().await?;
    let mut relay = world.store.system().await?;
    assert_eq!(relay.outbox().claim(10, &[]).await?, [], "rolled back");
    relay.rollback().await?;

    let mut tx = world.store.tenant(organization).await?;
    let first = check(&world, &mut tx, organization).await?;
    let second = check(&world, &mut tx, organization).await?;
    tx.commit().await?;

    // A relay that dies has published perhaps, and removed nothing.
    let mut relay = world.store.system().await?;
    assert_eq!(relay.outbox().claim(10, &[]).await?.len(), 2);
    relay.rollback().await?;
    let mut relay = world.store.system().await?;
    let claimed = relay.outbox().claim(10, &[]).await?;
    assert_eq!(
        claimed.iter().map(|message| message.id).collect::<Vec<_>>(),
        [first, second]
    );
    assert_eq!(
        (claimed[0].kind.as_str(), claimed[0].version),
        (ModelCheck::KIND, ModelCheck::VERSION)
    );
    assert_eq!(claimed[0].organization, Some(organization));
    assert!(claimed[0].traceparent.is_some());
    serde_json::from_value::<ModelCheck>(claimed[0].payload.clone())?;
    relay.outbox().remove(&[first, second]).await?;
    relay.commit().await?;
    let mut relay = world.store.system().await?;
    assert_eq!(relay.outbox().claim(10, &[]).await?, []);
    let error = relay
        .outbox()
        .remove(&[first])
        .await
        .err()
        .context("removed twice")?;
    assert!(
        matches!(
            error,
            Error::UnexpectedRows {
                table: "outbox",
                expected: 1,
                found: 0
            }
        ),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn two_relays_take_different_messages() -> Result<()> {
    let world = World::new().await?;
    let organization = world.tenant("acme").await?.organization;
    let mut tx = world.store.tenant(organization).await?;
    let first = check(&world, &mut tx, organization).await?;
    let second = check(&world, &mut tx, organization).await?;
    tx.commit().await?;
    let (mut one, mut other) = (world.store.system().await?, world.store.system().await?);
    assert_eq!(one.outbox().claim(1, &[]).await?[0].id, first);
    assert_eq!(other.outbox().claim(10, &[]).await?[0].id, second);
    Ok(())
}

#[tokio::test]
async fn parked_message_is_counted_and_no_longer_claimed() -> Result<()> {
    let world = World::new().await?;
    let organization = world.tenant("acme").await?.organization;
    let mut tx = world.store.tenant(organization).await?;
    let bad = check(&world, &mut tx, organization).await?;
    let good = check(&world, &mut tx, organization).await?;
    tx.commit().await?;
    let mut relay = world.store.system().await?;
    assert!(relay.outbox().park(bad, "larger than the broker takes").await?);
    let claimed = relay.outbox().claim(10, &[]).await?;
    assert_eq!(
        claimed.iter().map(|message| message.id).collect::<Vec<_>>(),
        [good]
    );
    let backlog = relay.outbox().backlog().await?;
    assert_eq!(
        (backlog.waiting, backlog.parked, backlog.oldest),
        (1, 1, Some(world.now()))
    );
    Ok(())
}

#[tokio::test]
async fn letter_to_a_stranger_belongs_to_no_organization() -> Result<()> {
    let world = World::new().await?;
    let letter = MailSend::Invitation(InvitationId::new(&world.clock, &world.random));
    let mut tx = world.store.public().await?;
    tx.outbox()
        .add(
            MessageId::new(&world.clock, &world.random),
            None,
            &letter,
            None,
            world.now(),
        )
        .await?;
    tx.commit().await?;
    let mut relay = world.store.system().await?;
    relay
        .outbox()
        .add(
            MessageId::new(&world.clock, &world.random),
            None,
            &letter,
            None,
            world.now(),
        )
        .await?;
    let claimed = relay.outbox().claim(10, &[]).await?;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|message| message.organization.is_none()));
    Ok(())
}
