//! Requests that clients repeat.

use anyhow::{Result, bail, ensure};
use berth_domain::id::OrganizationId;
use berth_store::Error;
use berth_store::idempotency_keys::{Answer, Claim, Keep, Owner, Request};
use chrono::TimeDelta;

use crate::world::{Tenant, World};

const ROUTE: &str = "POST /keys";

fn answer() -> Answer {
    Answer {
        status: 201,
        content_type: Some("application/json".to_owned()),
        body: b"{}".to_vec(),
    }
}

fn request(world: &World, tenant: Tenant, fingerprint: u8) -> Request {
    world.request(
        Owner::Organization(tenant.organization),
        ROUTE,
        "abc",
        fingerprint,
    )
}

async fn claim(world: &World, request: &Request) -> Result<Claim> {
    let mut tx = match request.owner {
        Owner::Organization(organization) => world.store.tenant(organization).await?,
        Owner::Person(person) => world.store.person(person).await?,
    };
    let claim = tx.idempotency_keys().claim(request).await?;
    tx.commit().await?;
    Ok(claim)
}

async fn finish(world: &World, organization: OrganizationId, request: &Request) -> Result<(), Error> {
    let mut tx = world.store.tenant(organization).await?;
    Keep::new(request, |(): &()| Ok(answer()))
        .write(&mut tx, &())
        .await?;
    tx.commit().await
}

async fn release(world: &World, organization: OrganizationId, request: &Request) -> Result<bool> {
    let mut tx = world.store.tenant(organization).await?;
    let held = tx.idempotency_keys().release(request).await?;
    tx.commit().await?;
    Ok(held)
}

#[tokio::test]
async fn repeated_request_gets_the_first_answer() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let first = request(&world, tenant, 1);
    assert!(claim(&world, &first).await? == Claim::Fresh);
    assert!(claim(&world, &first).await? == Claim::Running);
    finish(&world, tenant.organization, &first).await?;
    assert!(claim(&world, &first).await? == Claim::Done(answer()));
    assert!(claim(&world, &request(&world, tenant, 2)).await? == Claim::Different);

    // Another route, another organization and a person know nothing of it.
    let elsewhere = Request {
        route: "POST /models".to_owned(),
        ..first.clone()
    };
    assert!(claim(&world, &elsewhere).await? == Claim::Fresh);
    let other = world.tenant("other").await?;
    assert!(claim(&world, &request(&world, other, 1)).await? == Claim::Fresh);
    let owner = Owner::Person(tenant.owner);
    let personal = world.request(owner, ROUTE, "abc", 1);
    assert!(claim(&world, &personal).await? == Claim::Fresh);
    assert!(claim(&world, &personal).await? == Claim::Running);
    Ok(())
}

#[tokio::test]
async fn answer_of_a_person_is_kept_with_the_organization_that_they_make() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let personal = world.request(Owner::Person(tenant.owner), ROUTE, "abc", 1);
    assert!(claim(&world, &personal).await? == Claim::Fresh);
    let mut tx = world.store.tenant_as(tenant.organization, tenant.owner).await?;
    tx.idempotency_keys().finish(&personal, &answer()).await?;
    tx.commit().await?;
    assert!(claim(&world, &personal).await? == Claim::Done(answer()));
    Ok(())
}

#[tokio::test]
async fn answer_is_not_there_without_its_change() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let first = request(&world, tenant, 1);
    claim(&world, &first).await?;
    // The process dies before it commits.
    let mut tx = world.store.tenant(tenant.organization).await?;
    Keep::new(&first, |(): &()| Ok(answer()))
        .write(&mut tx, &())
        .await?;
    tx.rollback().await?;
    assert!(claim(&world, &first).await? == Claim::Running);
    Ok(())
}

#[tokio::test]
async fn answer_is_forgotten_when_it_expires() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let first = request(&world, tenant, 1);
    claim(&world, &first).await?;
    finish(&world, tenant.organization, &first).await?;
    world.clock.advance(TimeDelta::hours(25));
    // Even another request may have the key then.
    assert!(claim(&world, &request(&world, tenant, 2)).await? == Claim::Fresh);
    Ok(())
}

#[tokio::test]
async fn abandoned_request_can_be_tried_again_by_itself_alone() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    claim(&world, &request(&world, tenant, 1)).await?;
    world.clock.advance(TimeDelta::hours(2));
    assert!(claim(&world, &request(&world, tenant, 2)).await? == Claim::Different);
    let again = request(&world, tenant, 1);
    assert!(claim(&world, &again).await? == Claim::Fresh);
    assert!(release(&world, tenant.organization, &again).await?);
    assert!(!release(&world, tenant.organization, &again).await?);
    Ok(())
}

#[tokio::test]
async fn claim_that_shows_life_is_abandoned_only_some_time_after() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let slow = request(&world, tenant, 1);
    claim(&world, &slow).await?;
    let renew = async || -> Result<bool> {
        let mut tx = world.store.tenant(tenant.organization).await?;
        let expires_at = request(&world, tenant, 1).expires_at;
        let held = tx.idempotency_keys().renew(&slow, expires_at).await?;
        tx.commit().await?;
        Ok(held)
    };
    for _ in 0..3 {
        world.clock.advance(TimeDelta::hours(2));
        assert!(renew().await?);
        assert!(claim(&world, &request(&world, tenant, 1)).await? == Claim::Running);
    }
    world.clock.advance(TimeDelta::hours(2));
    assert!(claim(&world, &request(&world, tenant, 1)).await? == Claim::Fresh);
    assert!(!renew().await?, "it is another's");
    Ok(())
}

#[tokio::test]
async fn attempt_that_was_taken_over_can_neither_finish_nor_give_up() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let slow = request(&world, tenant, 1);
    claim(&world, &slow).await?;
    world.clock.advance(TimeDelta::hours(2));
    let second = request(&world, tenant, 1);
    assert!(claim(&world, &second).await? == Claim::Fresh);
    let late = finish(&world, tenant.organization, &slow).await;
    ensure!(matches!(late, Err(Error::UnexpectedRows { .. })), "{late:?}");
    assert!(!release(&world, tenant.organization, &slow).await?);
    finish(&world, tenant.organization, &second).await?;
    assert!(claim(&world, &second).await? == Claim::Done(answer()));
    Ok(())
}

#[tokio::test]
async fn only_one_of_many_at_once_gets_the_claim() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let wanted = request(&world, tenant, 1);
    let attempt = async || -> Result<bool> {
        match claim(&world, &wanted).await? {
            Claim::Fresh => Ok(true),
            Claim::Running => Ok(false),
            Claim::Done(_) | Claim::Different => bail!("nobody has finished"),
        }
    };
    let (first, second, third) = tokio::join!(attempt(), attempt(), attempt());
    let fresh = [first?, second?, third?];
    assert_eq!(fresh.iter().filter(|fresh| **fresh).count(), 1);
    Ok(())
}
