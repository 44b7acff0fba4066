//! Deployments: what is called, by whom, and what is to be run for it.

use anyhow::{Context as _, Result};
use berth_domain::deployment::{Replicas, Settings};
use berth_domain::model::Visibility;
use berth_store::callables::Callable;
use berth_store::deployments::{DeploymentChange, NAME_TAKEN, NOT_OF_THE_MODEL};
use berth_store::models::Reach;
use berth_store::organizations::Suspender;
use berth_store::{Error, Order, Page};
use chrono::TimeDelta;

use crate::world::{MEASURED, Tenant, World, manifest};

#[tokio::test]
async fn deployment_is_kept_changed_and_removed() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let uploaded = world.ready(tenant, "minilm", Reach::Project).await?;
    let second = world.new_version(tenant, uploaded.model, "second");
    world.upload(tenant, &second).await?;
    world.prove(second.id).await?;
    let id = world.deploy(tenant, "search", uploaded).await?;

    world.clock.advance(TimeDelta::minutes(1));
    let mut tx = world.store.tenant(organization).await?;
    assert_eq!(
        tx.versions()
            .hold(organization, &[uploaded.version, second.id])
            .await?
            .len(),
        2
    );
    let settings = Settings {
        replicas: Replicas { min: 3, max: Some(5) },
        threads: Some(2),
        ..Settings::default()
    };
    let change = DeploymentChange {
        settings: Some(settings.clone()),
        versions: Some(vec![(second.id, 90), (uploaded.version, 10)]),
        stopped: Some(true),
    };
    assert!(
        tx.deployments()
            .update(organization, id, &change, world.now())
            .await?
    );
    let shown = tx
        .deployments()
        .find(organization, tenant.project, &"search".parse()?)
        .await?
        .context("found")?;
    assert_eq!((shown.id, shown.model_name.as_str()), (id, "minilm"));
    assert_eq!(shown.settings, settings);
    let shares: Vec<_> = shown
        .versions
        .iter()
        .map(|version| (version.version, version.number, version.weight))
        .collect();
    assert_eq!(shares, [(uploaded.version, 1, 10), (second.id, 2, 90)]);
    assert_eq!(
        (shown.stopped_at, shown.updated_at),
        (Some(world.now()), world.now())
    );

    let resumed = DeploymentChange {
        stopped: Some(false),
        ..DeploymentChange::default()
    };
    tx.deployments()
        .update(organization, id, &resumed, world.now())
        .await?;
    let shown = tx.deployments().show(organization, id).await?.context("shown")?;
    assert_eq!((shown.stopped_at, shown.versions.len()), (None, 2));

    assert!(tx.deployments().delete(organization, id, world.now()).await?);
    assert!(!tx.deployments().delete(organization, id, world.now()).await?);
    assert!(
        !tx.deployments()
            .update(organization, id, &resumed, world.now())
            .await?
    );
    assert!(tx.deployments().show(organization, id).await?.is_none());
    tx.commit().await?;
    world.deploy(tenant, "search", uploaded).await?;
    Ok(())
}

#[tokio::test]
async fn names_are_unique_in_a_project_and_versions_belong_to_the_model() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let minilm = world.ready(tenant, "minilm", Reach::Project).await?;
    let other = world.ready(tenant, "other", Reach::Project).await?;
    world.deploy(tenant, "search", minilm).await?;
    let error = world
        .deploy(tenant, "search", minilm)
        .await
        .err()
        .context("two of one name")?
        .downcast::<Error>()?;
    assert_eq!(error.constraint(), Some(NAME_TAKEN));
    let mixed = world.new_deployment(tenant, "mixed", minilm.model, &[(other.version, 1)])?;
    let mut tx = world.store.tenant(organization).await?;
    let error = tx
        .deployments()
        .insert(organization, &mixed)
        .await
        .err()
        .context("a version of another model")?;
    assert_eq!(error.constraint(), Some(NOT_OF_THE_MODEL));
    Ok(())
}

#[tokio::test]
async fn version_of_another_organization_cannot_be_deployed() -> Result<()> {
    let world = World::new().await?;
    let (acme, evil) = (world.tenant("acme").await?, world.tenant("evil").await?);
    let minilm = world.ready(acme, "minilm", Reach::Organization).await?;
    let theft = world.new_deployment(evil, "stolen", minilm.model, &[(minilm.version, 1)])?;
    let mut tx = world.store.tenant(evil.organization).await?;
    assert_eq!(
        tx.versions().hold(evil.organization, &[minilm.version]).await?,
        []
    );
    let error = tx
        .deployments()
        .insert(evil.organization, &theft)
        .await
        .err()
        .context("stolen")?;
    assert_eq!(
        error.constraint(),
        Some("deployments_organization_id_model_id_fkey")
    );
    Ok(())
}

#[tokio::test]
async fn deployments_are_listed_with_their_versions() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let uploaded = world.ready(tenant, "minilm", Reach::Project).await?;
    for name in ["a", "b", "c"] {
        world.deploy(tenant, name, uploaded).await?;
        world.clock.advance(TimeDelta::milliseconds(1));
    }
    let mut tx = world.store.tenant(tenant.organization).await?;
    let list = tx
        .deployments()
        .list(
            tenant.organization,
            tenant.project,
            &Page::first(2, Order::Descending),
        )
        .await?;
    let names: Vec<_> = list
        .items
        .iter()
        .map(|deployment| (deployment.name.as_str(), deployment.versions.len()))
        .collect();
    assert_eq!(names, [("c", 1), ("b", 1)]);
    assert!(list.has_more);
    Ok(())
}

async fn callables(world: &World, tenant: Tenant) -> Result<Vec<Callable>> {
    let mut tx = world.store.tenant(tenant.organization).await?;
    Ok(tx
        .callables()
        .list(tenant.organization, tenant.project, None)
        .await?)
}

fn reached(callables: &[Callable]) -> Vec<(&str, Visibility)> {
    callables
        .iter()
        .map(|callable| (callable.name.as_str(), callable.reach))
        .collect()
}

#[tokio::test]
async fn project_calls_its_own_then_what_is_shared_then_what_is_published() -> Result<()> {
    let world = World::new().await?;
    let platform = world.tenant("platform").await?;
    let acme = world.tenant("acme").await?;
    let neighbor = Tenant {
        project: world.project(acme.organization, "neighbor").await?,
        ..acme
    };
    let published = world.ready(platform, "published", Reach::Project).await?;
    world.deploy(platform, "published", published).await?;
    world.clock.advance(TimeDelta::milliseconds(1));
    world.deploy(platform, "mine", published).await?;
    let unpublished = world.ready(platform, "unpublished", Reach::Organization).await?;
    world.deploy(platform, "unpublished", unpublished).await?;
    let mut tx = world.store.system().await?;
    assert!(tx.models().publish(published.model, world.now()).await?);
    tx.commit().await?;
    let shared = world.ready(neighbor, "shared", Reach::Organization).await?;
    world.deploy(neighbor, "shared", shared).await?;
    let private = world.ready(neighbor, "private", Reach::Project).await?;
    world.deploy(neighbor, "private", private).await?;
    let mine = world.ready(acme, "mine", Reach::Project).await?;
    world.deploy(acme, "mine", mine).await?;

    let found = callables(&world, acme).await?;
    assert_eq!(
        reached(&found),
        [
            ("mine", Visibility::Project),
            ("shared", Visibility::Organization),
            ("published", Visibility::Platform),
            ("mine", Visibility::Platform),
        ]
    );
    let far = &found[2];
    assert_eq!(
        (far.organization, far.organization_name.as_str()),
        (platform.organization, "platform")
    );
    assert_eq!(far.versions[0].version, published.version);
    assert_eq!(far.versions[0].manifest, manifest());

    // Under one name the nearest comes first.
    let mut tx = world.store.tenant(acme.organization).await?;
    let named = tx
        .callables()
        .list(acme.organization, acme.project, Some(&"mine".parse()?))
        .await?;
    assert_eq!(
        reached(&named),
        [("mine", Visibility::Project), ("mine", Visibility::Platform)]
    );
    Ok(())
}

#[tokio::test]
async fn what_is_stopped_suspended_or_not_ready_is_not_called() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let uploaded = world.ready(tenant, "minilm", Reach::Project).await?;
    let unready = world.new_version(tenant, uploaded.model, "unready");
    world.upload(tenant, &unready).await?;
    let deployment = world.new_deployment(
        tenant,
        "search",
        uploaded.model,
        &[(uploaded.version, 50), (unready.id, 50)],
    )?;
    let mut tx = world.store.tenant(organization).await?;
    tx.deployments().insert(organization, &deployment).await?;
    tx.commit().await?;
    let found = callables(&world, tenant).await?;
    assert_eq!(found[0].versions.len(), 1);
    assert_eq!(found[0].versions[0].version, uploaded.version);

    let mut stop = DeploymentChange {
        stopped: Some(true),
        ..DeploymentChange::default()
    };
    for _ in 0..2 {
        let mut tx = world.store.tenant(organization).await?;
        tx.deployments()
            .update(organization, deployment.id, &stop, world.now())
            .await?;
        tx.commit().await?;
        let stopped = stop.stopped == Some(true);
        assert_eq!(callables(&world, tenant).await?.is_empty(), stopped);
        stop.stopped = Some(false);
    }
    let mut tx = world.store.tenant(organization).await?;
    tx.projects()
        .suspend(organization, tenant.project, world.now())
        .await?;
    tx.commit().await?;
    assert_eq!(callables(&world, tenant).await?, []);
    Ok(())
}

#[tokio::test]
async fn published_model_of_a_suspended_organization_is_not_called() -> Result<()> {
    let world = World::new().await?;
    let (platform, acme) = (world.tenant("platform").await?, world.tenant("acme").await?);
    let published = world.ready(platform, "published", Reach::Project).await?;
    world.deploy(platform, "published", published).await?;
    let mut tx = world.store.system().await?;
    tx.models().publish(published.model, world.now()).await?;
    tx.commit().await?;
    assert_eq!(callables(&world, acme).await?.len(), 1);
    let mut tx = world.store.tenant(platform.organization).await?;
    tx.organizations()
        .suspend(platform.organization, Suspender::Operator, world.now())
        .await?;
    tx.commit().await?;
    assert_eq!(callables(&world, acme).await?, []);
    Ok(())
}

#[tokio::test]
async fn planner_sees_every_wanted_version_of_every_organization() -> Result<()> {
    let world = World::new().await?;
    let (acme, other) = (world.tenant("acme").await?, world.tenant("other").await?);
    let minilm = world.ready(acme, "minilm", Reach::Project).await?;
    let first = world.deploy(acme, "first", minilm).await?;
    world.clock.advance(TimeDelta::milliseconds(1));
    let second = world.deploy(acme, "second", minilm).await?;
    let theirs = world.ready(other, "theirs", Reach::Project).await?;
    world.deploy(other, "theirs", theirs).await?;
    world.ready(other, "idle", Reach::Project).await?;

    let mut tx = world.store.system().await?;
    let wanted = tx.placements().wanted().await?.versions;
    assert_eq!(wanted.len(), 2);
    let entry = wanted
        .iter()
        .find(|entry| entry.version == minilm.version)
        .context("wanted")?;
    assert_eq!(
        (entry.organization, entry.measured),
        (acme.organization, MEASURED)
    );
    assert_eq!(entry.manifest, manifest());
    assert_eq!(entry.files.len(), 1);
    let wishes: Vec<_> = entry
        .wanted_by
        .iter()
        .map(|wish| (wish.deployment, wish.weight, wish.project))
        .collect();
    assert_eq!(wishes, [(first, 100, acme.project), (second, 100, acme.project)]);
    drop(tx);

    let mut tx = world.store.tenant(other.organization).await?;
    tx.organizations()
        .suspend(other.organization, Suspender::Owner, world.now())
        .await?;
    tx.commit().await?;
    let mut tx = world.store.system().await?;
    let wanted = tx.placements().wanted().await?.versions;
    assert_eq!(
        wanted.iter().map(|entry| entry.version).collect::<Vec<_>>(),
        [minilm.version]
    );
    Ok(())
}

#[tokio::test]
async fn planner_sees_past_what_cannot_be_read() -> Result<()> {
    let world = World::new().await?;
    let (acme, other) = (world.tenant("acme").await?, world.tenant("other").await?);
    let minilm = world.ready(acme, "minilm", Reach::Project).await?;
    let kept = world.deploy(acme, "kept", minilm).await?;
    world.clock.advance(TimeDelta::milliseconds(1));
    let broken = world.deploy(acme, "broken", minilm).await?;
    let theirs = world.ready(other, "theirs", Reach::Project).await?;
    let odd = world.deploy(other, "theirs", theirs).await?;
    for statement in [
        r#"UPDATE deployments SET settings = '{"threads": "many"}' WHERE name = 'broken'"#,
        "UPDATE model_versions SET manifest = '7'
            WHERE model_id = (SELECT model_id FROM models WHERE name = 'theirs')",
    ] {
        assert_eq!(world.database.damage(statement).await?, 1);
    }
    let mut tx = world.store.system().await?;
    let wanting = tx.placements().wanted().await?;
    let [entry] = &wanting.versions[..] else {
        anyhow::bail!("{:?}", wanting.versions);
    };
    assert_eq!((entry.version, entry.files.len()), (minilm.version, 1));
    let wishes: Vec<_> = entry.wanted_by.iter().map(|wish| wish.deployment).collect();
    assert_eq!(wishes, [kept]);
    let unreadable = |deployment, version| {
        wanting
            .unreadable
            .iter()
            .find(|row| (row.deployment, row.version) == (deployment, version))
            .map(|row| (row.organization, row.error.to_string()))
    };
    let (whose, words) = unreadable(broken, minilm.version).context("told")?;
    assert_eq!(whose, acme.organization);
    assert!(words.contains("`settings` of `deployments`"), "{words}");
    let (whose, words) = unreadable(odd, theirs.version).context("told")?;
    assert_eq!(whose, other.organization);
    assert!(words.contains("`manifest` of `model_versions`"), "{words}");
    assert_eq!(wanting.unreadable.len(), 2);
    Ok(())
}

#[tokio::test]
async fn version_that_is_being_deployed_is_not_deleted_meanwhile() -> Result<()> {
    use berth_store::versions::Deletion;

    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let uploaded = world.ready(tenant, "minilm", Reach::Project).await?;
    let mut deploying = world.store.tenant(organization).await?;
    assert_eq!(
        deploying
            .versions()
            .hold(organization, &[uploaded.version])
            .await?
            .len(),
        1
    );
    let delete = async {
        let mut tx = world.store.tenant(organization).await?;
        let deletion = tx
            .versions()
            .delete(organization, uploaded.version, world.now())
            .await?;
        tx.commit().await?;
        anyhow::Ok(deletion)
    };
    let deploy = async {
        let deployment = world.new_deployment(tenant, "search", uploaded.model, &[(uploaded.version, 1)])?;
        deploying.deployments().insert(organization, &deployment).await?;
        deploying.commit().await?;
        anyhow::Ok(())
    };
    let (deletion, deployed) = tokio::join!(delete, deploy);
    deployed?;
    assert_eq!(deletion?, Deletion::Deployed);
    Ok(())
}
