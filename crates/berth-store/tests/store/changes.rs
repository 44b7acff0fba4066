//! Counters move with every change that makes a cache stale, and not otherwise.

use anyhow::Result;
use berth_store::changes::Topic;
use berth_store::deployments::DeploymentChange;
use berth_store::models::{ModelChange, Reach};
use berth_store::organizations::Suspender;
use berth_store::projects::ProjectChange;

use crate::world::World;

struct Watch<'w> {
    world: &'w World,
    keys: i64,
    deployments: i64,
}

impl<'w> Watch<'w> {
    async fn new(world: &'w World) -> Result<Self> {
        Ok(Self {
            world,
            keys: world.store.change_value(Topic::Keys).await?,
            deployments: world.store.change_value(Topic::Deployments).await?,
        })
    }

    /// Whether the counters moved since the last time, keys first.
    async fn moved(&mut self) -> Result<(bool, bool)> {
        let now = Self::new(self.world).await?;
        let moved = (now.keys > self.keys, now.deployments > self.deployments);
        *self = now;
        Ok(moved)
    }
}

const KEYS: (bool, bool) = (true, false);
const DEPLOYMENTS: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);
const NEITHER: (bool, bool) = (false, false);

/// Makes a change in a transaction of this kind, and looks at the counters afterwards.
macro_rules! change {
    ($watch:ident, $tx:ident = $begin:expr, $expected:expr, $change:expr) => {{
        let mut $tx = $begin.await?;
        assert!($change, "nothing was changed");
        assert_eq!($watch.moved().await?, NEITHER, "before the commit");
        $tx.commit().await?;
        assert_eq!($watch.moved().await?, $expected, "{}", stringify!($change));
    }};
}

#[tokio::test]
async fn changes_to_what_a_key_is_worth_move_the_counter_of_keys() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let (organization, project) = (tenant.organization, tenant.project);
    let account = world.service_account(tenant, "robot").await?;
    let (store, now) = (&world.store, world.now());
    let mut watch = Watch::new(&world).await?;

    let key = world.key(tenant, Some(account), "abc").await?;
    assert_eq!(watch.moved().await?, KEYS);
    change!(watch, tx = store.tenant(organization), KEYS, {
        tx.api_key_secrets()
            .insert(organization, &world.secret(key, "new"))
            .await?;
        tx.api_key_secrets()
            .expire_others(organization, key, "new", now)
            .await?
            == 1
    });
    change!(
        watch,
        tx = store.tenant(organization),
        KEYS,
        tx.api_key_secrets().remove(organization, key, "abc").await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        KEYS,
        tx.service_accounts().disable(organization, account, now).await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        KEYS,
        tx.api_keys().revoke(organization, key, now).await?
    );
    change!(
        watch,
        tx = store.system(),
        KEYS,
        tx.users().disable(tenant.owner, now).await?
    );
    change!(
        watch,
        tx = store.system(),
        KEYS,
        tx.users().make_operator(tenant.owner, true).await?
    );
    let change = ProjectChange {
        cors_origins: Some(Vec::new()),
        ..ProjectChange::default()
    };
    change!(
        watch,
        tx = store.tenant(organization),
        BOTH,
        tx.projects().update(organization, project, &change).await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        BOTH,
        tx.projects().suspend(organization, project, now).await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        BOTH,
        tx.organizations()
            .suspend(organization, Suspender::Owner, now)
            .await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        BOTH,
        tx.organizations().delete(organization, now).await?
    );
    Ok(())
}

#[tokio::test]
async fn changes_to_what_can_be_called_move_the_counter_of_deployments() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let (store, now) = (&world.store, world.now());
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let version = world.new_version(tenant, model, "a");
    world.upload(tenant, &version).await?;
    let mut watch = Watch::new(&world).await?;

    world.prove(version.id).await?;
    assert_eq!(watch.moved().await?, NEITHER, "nothing is deployed yet");
    let uploaded = crate::world::Uploaded {
        model,
        version: version.id,
    };
    let deployment = world.deploy(tenant, "search", uploaded).await?;
    assert_eq!(watch.moved().await?, DEPLOYMENTS);
    let change = DeploymentChange {
        versions: Some(vec![(version.id, 1)]),
        ..DeploymentChange::default()
    };
    change!(
        watch,
        tx = store.tenant(organization),
        DEPLOYMENTS,
        tx.deployments()
            .update(organization, deployment, &change, now)
            .await?
    );
    let change = ModelChange {
        reach: Some(Reach::Organization),
        ..ModelChange::default()
    };
    change!(
        watch,
        tx = store.tenant(organization),
        DEPLOYMENTS,
        tx.models().update(organization, model, &change).await?
    );
    change!(
        watch,
        tx = store.system(),
        DEPLOYMENTS,
        tx.models().publish(model, now).await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        DEPLOYMENTS,
        tx.deployments().delete(organization, deployment, now).await?
    );
    change!(
        watch,
        tx = store.tenant(organization),
        DEPLOYMENTS,
        tx.models().delete(organization, model, now).await?
    );
    Ok(())
}

#[tokio::test]
async fn what_concerns_no_cache_moves_nothing() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let key = world.key(tenant, None, "abc").await?;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let mut watch = Watch::new(&world).await?;
    world.store.touch_api_keys(&[(key, world.now())]).await?;
    let version = world.new_version(tenant, model, "a");
    world.upload(tenant, &version).await?;
    world.prove(version.id).await?;
    let mut tx = world.store.tenant(tenant.organization).await?;
    tx.versions()
        .delete(tenant.organization, version.id, world.now())
        .await?;
    tx.commit().await?;
    world.session(tenant.owner, [1; 32]).await?;
    world.role(tenant, "reader", &[]).await?;
    assert_eq!(watch.moved().await?, NEITHER);
    Ok(())
}

#[tokio::test]
async fn counter_moves_once_a_transaction_and_its_value_is_known_before_the_commit() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let before = world.store.change_value(Topic::Keys).await?;
    let key = world.new_key(tenant, None)?;
    let mut tx = world.store.tenant(organization).await?;
    tx.api_keys().insert(organization, &key).await?;
    tx.api_key_secrets()
        .insert(organization, &world.secret(key.id, "abc"))
        .await?;
    assert_eq!(tx.changes().bump(Topic::Keys).await?, before + 1);
    assert_eq!(tx.changes().bump(Topic::Keys).await?, before + 1);
    tx.commit().await?;
    assert_eq!(world.store.change_value(Topic::Keys).await?, before + 1);

    // It also moves when nothing else did, and not when the transaction is rolled back.
    let mut tx = world.store.system().await?;
    assert_eq!(tx.changes().bump(Topic::Keys).await?, before + 2);
    drop(tx);
    assert_eq!(world.store.change_value(Topic::Keys).await?, before + 1);
    Ok(())
}

#[tokio::test]
async fn counters_cannot_be_set_by_hand_of_a_request() -> Result<()> {
    use anyhow::Context as _;
    use sqlx::Connection as _;

    let world = World::new().await?;
    for url in [world.database.app_url(), world.database.system_url()] {
        let mut connection = sqlx::PgConnection::connect(&url).await?;
        let refusal = sqlx::query("UPDATE changes SET value = 0")
            .execute(&mut connection)
            .await
            .err()
            .context("set")?;
        assert!(refusal.to_string().contains("permission denied"), "{refusal}");
    }
    Ok(())
}
