//! Requests that clients repeat.

use anyhow::{Result, bail};
use berth_store::idempotency_keys::{Answer, Claim, Request};

use crate::world::{Tenant, World};

const ROUTE: &str = "POST /keys";

fn answer() -> Answer {
    Answer {
        status: 201,
        content_type: Some("application/json".to_owned()),
        body: b"{}".to_vec(),
    }
}

async fn claim(world: &World, tenant: Tenant, request: &Request) -> Result<Claim> {
    let mut tx = world.store.tenant(tenant.organization).await?;
    let claim = tx.idempotency_keys().claim(tenant.organization, request).await?;
    tx.commit().await?;
    Ok(claim)
}

async fn finish(world: &World, tenant: Tenant) -> Result<()> {
    let mut tx = world.store.tenant(tenant.organization).await?;
    tx.idempotency_keys()
        .finish(tenant.organization, ROUTE, "abc", &answer())
        .await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn repeated_request_gets_the_first_answer() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let request = world.request(ROUTE, "abc", 1);
    assert!(claim(&world, tenant, &request).await? == Claim::Fresh);
    assert!(claim(&world, tenant, &request).await? == Claim::Running);
    finish(&world, tenant).await?;
    assert!(claim(&world, tenant, &request).await? == Claim::Done(answer()));
    assert!(claim(&world, tenant, &world.request(ROUTE, "abc", 2)).await? == Claim::Different);

    // Another route and another organization know nothing of it.
    assert!(claim(&world, tenant, &world.request("POST /models", "abc", 1)).await? == Claim::Fresh);
    let other = world.tenant("other").await?;
    assert!(claim(&world, other, &request).await? == Claim::Fresh);
    Ok(())
}

#[tokio::test]
async fn answer_is_forgotten_when_it_expires() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    claim(&world, tenant, &world.request(ROUTE, "abc", 1)).await?;
    finish(&world, tenant).await?;
    world.clock.advance(chrono::TimeDelta::hours(25));
    // Even another request may have the key then.
    assert!(claim(&world, tenant, &world.request(ROUTE, "abc", 2)).await? == Claim::Fresh);
    Ok(())
}

#[tokio::test]
async fn abandoned_request_can_be_tried_again() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    claim(&world, tenant, &world.request(ROUTE, "abc", 1)).await?;
    world.clock.advance(chrono::TimeDelta::hours(2));
    assert!(claim(&world, tenant, &world.request(ROUTE, "abc", 2)).await? == Claim::Different);
    assert!(claim(&world, tenant, &world.request(ROUTE, "abc", 1)).await? == Claim::Fresh);

    let mut tx = world.store.tenant(tenant.organization).await?;
    assert!(
        tx.idempotency_keys()
            .release(tenant.organization, ROUTE, "abc")
            .await?
    );
    assert!(
        !tx.idempotency_keys()
            .release(tenant.organization, ROUTE, "abc")
            .await?
    );
    Ok(())
}

#[tokio::test]
async fn second_of_two_at_once_waits_and_gets_the_answer_of_the_first() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let request = world.request(ROUTE, "abc", 1);
    let attempt = async || -> Result<bool> {
        let mut tx = world.store.tenant(tenant.organization).await?;
        match tx.idempotency_keys().claim(tenant.organization, &request).await? {
            Claim::Fresh => {
                tx.idempotency_keys()
                    .finish(tenant.organization, ROUTE, "abc", &answer())
                    .await?;
                tx.commit().await?;
                Ok(true)
            }
            Claim::Done(kept) if kept == answer() => Ok(false),
            _ => bail!("neither the first nor its answer"),
        }
    };
    let (first, second, third) = tokio::join!(attempt(), attempt(), attempt());
    let fresh = [first?, second?, third?];
    assert_eq!(fresh.iter().filter(|fresh| **fresh).count(), 1);
    Ok(())
}
