//! Service accounts, API keys and their secrets.

use anyhow::{Context as _, Result};
use berth_domain::address::AddressList;
use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_domain::permission::Permission;
use berth_store::lookups::Bar;
use berth_store::organizations::Suspender;
use berth_store::{Order, Page, api_key_secrets, api_keys, service_accounts};

use crate::world::World;

#[tokio::test]
async fn key_is_found_by_its_public_id_with_all_that_decides() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let account = world.service_account(tenant, "robot").await?;
    let key = world.key(tenant, Some(account), "abc").await?;
    let found = world.store.find_api_key("abc").await?.context("found")?;
    assert_eq!(
        (
            found.key,
            found.organization,
            found.project,
            found.service_account
        ),
        (key, tenant.organization, tenant.project, Some(account))
    );
    assert_eq!(found.public_id, "abc");
    assert_eq!(&found.secret_hash, Sha256::of(b"abc").as_bytes());
    assert_eq!(found.pepper_id, "2026");
    assert_eq!(
        found.scopes.iter().collect::<Vec<_>>(),
        [Permission::ModelsRead, Permission::InferenceRun]
    );
    assert_eq!(found.models, Some(vec!["minilm".parse()?]));
    // Bits behind the prefix are dropped, as `cidr` wants it.
    assert_eq!(
        found.addresses,
        AddressList::new(vec!["198.51.100.0/24".parse()?, "2001:db8::/32".parse()?])
    );
    assert_eq!(found.cors_origins, ["https://main.example"]);
    assert_eq!(found.expires_at, Some(world.later(24 * 90)));
    assert_eq!(
        (found.secret_expires_at, found.revoked_at, found.bar),
        (None, None, None)
    );
    assert!(world.store.find_api_key("abd").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn bar_says_what_is_suspended_or_disabled() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let account = world.service_account(tenant, "robot").await?;
    world.key(tenant, Some(account), "robot").await?;
    world.key(tenant, None, "own").await?;
    let bars = async || -> Result<(Option<Bar>, Option<Bar>)> {
        let robot = world.store.find_api_key("robot").await?.context("found")?;
        let own = world.store.find_api_key("own").await?.context("found")?;
        Ok((robot.bar, own.bar))
    };

    let mut tx = world.store.system().await?;
    tx.users().disable(tenant.owner, world.now()).await?;
    tx.commit().await?;
    // A service account outlives whoever made its key.
    assert_eq!(bars().await?, (None, Some(Bar::UserDisabled)));

    let mut tx = world.store.tenant(organization).await?;
    assert!(
        tx.service_accounts()
            .disable(organization, account, world.now())
            .await?
    );
    assert!(
        !tx.service_accounts()
            .disable(organization, account, world.now())
            .await?
    );
    tx.commit().await?;
    assert_eq!(
        bars().await?,
        (Some(Bar::ServiceAccountDisabled), Some(Bar::UserDisabled))
    );

    let mut tx = world.store.tenant(organization).await?;
    tx.projects()
        .suspend(organization, tenant.project, world.now())
        .await?;
    tx.commit().await?;
    assert_eq!(
        bars().await?,
        (Some(Bar::ProjectSuspended), Some(Bar::ProjectSuspended))
    );

    let mut tx = world.store.tenant(organization).await?;
    tx.organizations()
        .suspend(organization, Suspender::Operator, world.now())
        .await?;
    tx.commit().await?;
    assert_eq!(
        bars().await?,
        (Some(Bar::OrganizationSuspended), Some(Bar::OrganizationSuspended))
    );

    let mut tx = world.store.tenant(organization).await?;
    tx.organizations()
        .resume(organization, Suspender::Operator)
        .await?;
    tx.projects().resume(organization, tenant.project).await?;
    assert!(tx.service_accounts().enable(organization, account).await?);
    assert!(!tx.service_accounts().enable(organization, account).await?);
    tx.commit().await?;
    assert_eq!(bars().await?, (None, Some(Bar::UserDisabled)));
    Ok(())
}

#[tokio::test]
async fn rotated_key_opens_by_both_secrets_until_the_grace_ends() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let key = world.key(tenant, None, "old").await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(tx.api_keys().lock(organization, key).await?.is_some());
    tx.api_key_secrets()
        .insert(organization, &world.secret(key, "new"))
        .await?;
    let until = world.later(1);
    assert_eq!(
        tx.api_key_secrets()
            .expire_others(organization, key, "new", until)
            .await?,
        1
    );
    // A later end does not prolong an earlier one.
    assert_eq!(
        tx.api_key_secrets()
            .expire_others(organization, key, "new", world.later(2))
            .await?,
        0
    );
    tx.commit().await?;
    let old = world.store.find_api_key("old").await?.context("found")?;
    let new = world.store.find_api_key("new").await?.context("found")?;
    assert_eq!((old.key, new.key), (key, key));
    assert_eq!(
        (old.secret_expires_at, new.secret_expires_at),
        (Some(until), None)
    );

    let mut tx = world.store.tenant(organization).await?;
    let secrets = tx.api_key_secrets().list(organization, &[key]).await?;
    assert_eq!(secrets.len(), 2);
    assert!(tx.api_key_secrets().remove(organization, key, "old").await?);
    assert!(!tx.api_key_secrets().remove(organization, key, "old").await?);
    let error = tx
        .api_key_secrets()
        .insert(organization, &world.secret(key, "new"))
        .await
        .err()
        .context("a public id twice")?;
    assert_eq!(error.constraint(), Some(api_key_secrets::PUBLIC_ID_TAKEN));
    Ok(())
}

#[tokio::test]
async fn revoked_key_is_found_as_revoked() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let key = world.key(tenant, None, "abc").await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(tx.api_keys().revoke(organization, key, world.now()).await?);
    assert!(!tx.api_keys().revoke(organization, key, world.now()).await?);
    tx.commit().await?;
    let found = world.store.find_api_key("abc").await?.context("found")?;
    assert_eq!(found.revoked_at, Some(world.now()));
    Ok(())
}

#[tokio::test]
async fn keys_of_a_person_who_leaves_are_revoked_and_those_of_programs_stay() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let account = world.service_account(tenant, "robot").await?;
    world.key(tenant, Some(account), "robot").await?;
    let own = world.key(tenant, None, "own").await?;
    let elsewhere = world.project(organization, "elsewhere").await?;
    let mut tx = world.store.tenant(organization).await?;
    let revoked = tx
        .api_keys()
        .revoke_of_user(organization, Some(elsewhere), tenant.owner, world.now())
        .await?;
    assert_eq!(revoked, []);
    let revoked = tx
        .api_keys()
        .revoke_of_user(organization, None, tenant.owner, world.now())
        .await?;
    assert_eq!(revoked, [own]);
    Ok(())
}

#[tokio::test]
async fn deleted_service_account_takes_its_keys_with_it() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let account = world.service_account(tenant, "robot").await?;
    let error = world
        .service_account(tenant, "robot")
        .await
        .err()
        .context("two of one name")?
        .downcast::<berth_store::Error>()?;
    assert_eq!(error.constraint(), Some(service_accounts::NAME_TAKEN));
    let key = world.key(tenant, Some(account), "abc").await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(
        tx.service_accounts()
            .delete(organization, account, world.now())
            .await?
    );
    assert!(
        !tx.service_accounts()
            .delete(organization, account, world.now())
            .await?
    );
    tx.commit().await?;
    assert!(world.store.find_api_key("abc").await?.is_none());
    let mut tx = world.store.tenant(organization).await?;
    let shown = tx
        .api_keys()
        .show(organization, key)
        .await?
        .context("its row stays")?;
    assert!(shown.revoked_at.is_some());
    let page = Page::first(10, Order::Ascending);
    let list = tx
        .service_accounts()
        .list(organization, tenant.project, &page)
        .await?;
    assert_eq!(list.items, []);
    let shown = tx
        .service_accounts()
        .show(organization, account)
        .await?
        .context("its row stays")?;
    assert_eq!(shown.deleted_at, Some(world.now()));
    drop(tx);
    world.service_account(tenant, "robot").await?;
    Ok(())
}

#[tokio::test]
async fn key_cannot_belong_to_a_service_account_of_another_project() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let account = world.service_account(tenant, "robot").await?;
    let mut key = world.new_key(tenant, Some(account))?;
    key.project = world.project(organization, "elsewhere").await?;
    let mut tx = world.store.tenant(organization).await?;
    let error = tx
        .api_keys()
        .insert(organization, &key)
        .await
        .err()
        .context("added")?;
    assert_eq!(error.constraint(), Some(api_keys::NO_SUCH_SERVICE_ACCOUNT));
    Ok(())
}

#[tokio::test]
async fn key_made_by_a_key_says_so() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let maker = world.key(tenant, None, "maker").await?;
    let mut key = world.new_key(tenant, None)?;
    key.created_by = Creator::Key(maker);
    key.models = None;
    key.addresses = AddressList::default();
    let mut tx = world.store.tenant(organization).await?;
    tx.api_keys().insert(organization, &key).await?;
    let shown = tx.api_keys().show(organization, key.id).await?.context("shown")?;
    assert_eq!(shown.created_by, Creator::Key(maker));
    assert_eq!((shown.models, shown.addresses), (None, AddressList::default()));
    let list = tx
        .api_keys()
        .list(organization, tenant.project, &Page::first(1, Order::Ascending))
        .await?;
    assert!(list.has_more);
    Ok(())
}

#[tokio::test]
async fn last_use_is_noted_across_organizations_and_never_goes_back() -> Result<()> {
    let world = World::new().await?;
    let (acme, other) = (world.tenant("acme").await?, world.tenant("other").await?);
    let first = world.key(acme, None, "first").await?;
    let second = world.key(other, None, "second").await?;
    let gone = world.new_key(acme, None)?.id;
    world
        .store
        .touch_api_keys(&[
            (first, world.later(1)),
            (second, world.later(2)),
            (first, world.later(3)),
            (gone, world.later(1)),
        ])
        .await?;
    world.store.touch_api_keys(&[(first, world.later(2))]).await?;
    world.store.touch_api_keys(&[]).await?;
    let mut tx = world.store.tenant(acme.organization).await?;
    let shown = tx
        .api_keys()
        .show(acme.organization, first)
        .await?
        .context("shown")?;
    assert_eq!(shown.last_used_at, Some(world.later(3)));
    drop(tx);
    let mut tx = world.store.tenant(other.organization).await?;
    let shown = tx
        .api_keys()
        .show(other.organization, second)
        .await?
        .context("shown")?;
    assert_eq!(shown.last_used_at, Some(world.later(2)));
    Ok(())
}

#[tokio::test]
async fn origin_is_found_in_whatever_project_lists_it() -> Result<()> {
    let world = World::new().await?;
    assert!(!world.store.origin_is_listed("https://main.example").await?);
    let tenant = world.tenant("acme").await?;
    assert!(world.store.origin_is_listed("https://main.example").await?);
    assert!(!world.store.origin_is_listed("https://evil.example").await?);
    let mut tx = world.store.tenant(tenant.organization).await?;
    let change = berth_store::projects::ProjectChange {
        cors_origins: Some(vec!["*".to_owned()]),
        ..Default::default()
    };
    tx.projects()
        .update(tenant.organization, tenant.project, &change)
        .await?;
    tx.commit().await?;
    assert!(world.store.origin_is_listed("https://evil.example").await?);
    let mut tx = world.store.tenant(tenant.organization).await?;
    tx.projects()
        .delete(tenant.organization, tenant.project, world.now())
        .await?;
    tx.commit().await?;
    assert!(!world.store.origin_is_listed("https://evil.example").await?);
    Ok(())
}
