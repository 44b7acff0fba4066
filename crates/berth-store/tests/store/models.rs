//! Models, versions and the bytes of their files.

use anyhow::{Context as _, Result};
use berth_domain::digest::Sha256;
use berth_domain::id::WorkerId;
use berth_domain::model::{ModelFile, VersionState, Visibility};
use berth_store::models::{ModelChange, NAME_TAKEN, Reach};
use berth_store::system::versions::{FruitlessProof, NoVerdict, Outcome, Unchecked};
use berth_store::versions::{Deletion, NO_SUCH_BLOB};
use berth_store::{Error, Order, Page};
use chrono::TimeDelta;
use sqlx::Connection as _;

use crate::world::{MEASURED, Tenant, World, manifest};

#[tokio::test]
async fn model_is_seen_by_its_project_or_by_all_of_the_organization() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let neighbor = world.project(organization, "neighbor").await?;
    let private = world.model(tenant, "private", Reach::Project).await?;
    let shared = world.model(tenant, "shared", Reach::Organization).await?;
    let error = world
        .model(tenant, "shared", Reach::Project)
        .await
        .err()
        .context("two of one name")?
        .downcast::<Error>()?;
    assert_eq!(error.constraint(), Some(NAME_TAKEN));

    let mut tx = world.store.tenant(organization).await?;
    let page = Page::first(10, Order::Ascending);
    let visible = tx.models().list_visible(organization, neighbor, &page).await?;
    assert_eq!(
        visible.items.iter().map(|model| model.id).collect::<Vec<_>>(),
        [shared]
    );
    let own = tx
        .models()
        .list_visible(organization, tenant.project, &page)
        .await?;
    assert_eq!(own.items.len(), 2);
    assert_eq!(tx.models().list(organization, neighbor, &page).await?.items, []);
    let found = tx
        .models()
        .find(organization, tenant.project, &"private".parse()?)
        .await?
        .context("found")?;
    assert_eq!((found.id, found.visibility), (private, Visibility::Project));
    Ok(())
}

#[tokio::test]
async fn what_is_left_of_a_deleted_project_is_not_seen() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let gone = world.project(organization, "gone").await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(tx.projects().delete(organization, gone, world.now()).await?);
    tx.commit().await?;
    let place = Tenant {
        project: gone,
        ..tenant
    };
    world.model(place, "shared", Reach::Organization).await?;

    let mut tx = world.store.tenant(organization).await?;
    let page = Page::first(10, Order::Ascending);
    for project in [tenant.project, gone] {
        let visible = tx.models().list_visible(organization, project, &page).await?;
        assert_eq!(visible.items, []);
    }
    Ok(())
}

#[tokio::test]
async fn only_an_operator_publishes_a_model() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let model = world.model(tenant, "minilm", Reach::Organization).await?;
    let mut tx = world.store.system().await?;
    assert!(tx.models().publish(model, world.now()).await?);
    assert_eq!(
        tx.models().show(model).await?.context("shown")?.visibility,
        Visibility::Platform
    );
    tx.commit().await?;

    // Its organization may change the rest, and does not unpublish it by that.
    let mut tx = world.store.tenant(tenant.organization).await?;
    let change = ModelChange {
        title: Some("MiniLM".parse()?),
        reach: Some(Reach::Project),
        ..ModelChange::default()
    };
    assert!(tx.models().update(tenant.organization, model, &change).await?);
    let shown = tx
        .models()
        .show(tenant.organization, model)
        .await?
        .context("shown")?;
    assert_eq!(shown.visibility, Visibility::Platform);
    assert_eq!(
        (shown.title, shown.license.as_deref()),
        (Some("MiniLM".parse()?), Some("Apache-2.0"))
    );
    tx.commit().await?;

    let mut tx = world.store.system().await?;
    assert!(tx.models().unpublish(model).await?);
    assert_eq!(
        tx.models().show(model).await?.context("shown")?.visibility,
        Visibility::Project
    );

    let mut app = sqlx::PgConnection::connect(&world.database.app_url()).await?;
    let refusal = sqlx::query("UPDATE models SET published_at = created_at")
        .execute(&mut app)
        .await
        .err()
        .context("a request published a model")?;
    assert!(refusal.to_string().contains("permission denied"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn versions_are_numbered_and_numbers_are_not_given_again() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let (first, second) = (
        world.new_version(tenant, model, "a"),
        world.new_version(tenant, model, "b"),
    );
    assert_eq!(world.upload(tenant, &first).await?, 1);
    assert_eq!(world.upload(tenant, &second).await?, 2);
    let mut tx = world.store.tenant(organization).await?;
    assert_eq!(
        tx.versions().delete(organization, second.id, world.now()).await?,
        Deletion::Deleted
    );
    assert_eq!(
        tx.versions().delete(organization, second.id, world.now()).await?,
        Deletion::NotFound
    );
    tx.commit().await?;
    world.clock.advance(TimeDelta::milliseconds(1));
    let third = world.new_version(tenant, model, "c");
    assert_eq!(world.upload(tenant, &third).await?, 3);

    let mut tx = world.store.tenant(organization).await?;
    let page = Page::first(10, Order::Ascending);
    let list = tx.versions().list(organization, model, &page).await?;
    assert_eq!(
        list.items
            .iter()
            .map(|version| version.number)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    assert!(tx.versions().find(organization, model, 2).await?.is_none());
    assert!(tx.versions().find(organization, model, u32::MAX).await?.is_none());
    let found = tx
        .versions()
        .find_by_digest(organization, model, &third.folder_digest)
        .await?
        .context("found")?;
    assert_eq!(found.id, third.id);
    Ok(())
}

#[tokio::test]
async fn uploads_at_once_get_different_numbers() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let versions = ["a", "b", "c", "d"].map(|text| world.new_version(tenant, model, text));
    let (a, b, c, d) = tokio::join!(
        world.upload(tenant, &versions[0]),
        world.upload(tenant, &versions[1]),
        world.upload(tenant, &versions[2]),
        world.upload(tenant, &versions[3])
    );
    let mut numbers = [a?, b?, c?, d?];
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn version_is_kept_as_it_was_given() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let mut version = world.new_version(tenant, model, "a");
    version.files.push(ModelFile {
        path: "a/tokenizer.json".to_owned(),
        digest: Sha256::of(b"tokenizer"),
        size_bytes: 0,
    });
    // The same bytes at two places are one blob.
    version.files.push(ModelFile {
        path: "copy.onnx".to_owned(),
        digest: Sha256::of(b"a"),
        size_bytes: 1000,
    });
    world.upload(tenant, &version).await?;
    let mut tx = world.store.tenant(organization).await?;
    let shown = tx
        .versions()
        .show(organization, version.id)
        .await?
        .context("shown")?;
    assert_eq!(shown.state, VersionState::Checking);
    assert_eq!(
        (shown.manifest, shown.graphs),
        (manifest(), version.graphs.clone())
    );
    assert_eq!(
        (shown.folder_digest, shown.size_bytes),
        (version.folder_digest, 2000)
    );
    assert_eq!(
        (shown.measured, shown.reason, shown.checked_at),
        (None, None, None)
    );
    let files = tx.versions().files(organization, version.id).await?;
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a/tokenizer.json", "copy.onnx", "model.onnx"]);
    assert_eq!(world.blobs().await?, 2);
    Ok(())
}

#[tokio::test]
async fn version_without_a_model_or_without_stored_bytes_is_refused() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let other = world.tenant("other").await?;
    let organization = tenant.organization;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let version = world.new_version(tenant, model, "never stored");
    let mut tx = world.store.tenant(organization).await?;
    let error = tx
        .versions()
        .insert(organization, &version)
        .await
        .err()
        .context("added")?;
    assert_eq!(error.constraint(), Some(NO_SUCH_BLOB));
    drop(tx);
    // Bytes of another organization do not count.
    let theirs = world.model(other, "minilm", Reach::Project).await?;
    world
        .upload(other, &world.new_version(other, theirs, "never stored"))
        .await?;
    let mut tx = world.store.tenant(organization).await?;
    let error = tx
        .versions()
        .insert(organization, &version)
        .await
        .err()
        .context("added")?;
    assert_eq!(error.constraint(), Some(NO_SUCH_BLOB));
    drop(tx);
    let mut tx = world.store.tenant(organization).await?;
    let foreign = world.new_version(tenant, theirs, "never stored");
    assert_eq!(tx.versions().insert(organization, &foreign).await?, None);
    Ok(())
}

#[tokio::test]
async fn proof_is_written_down_once() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let (good, bad) = (
        world.new_version(tenant, model, "good"),
        world.new_version(tenant, model, "bad"),
    );
    world.upload(tenant, &good).await?;
    world.upload(tenant, &bad).await?;
    let ready = Outcome::Ready {
        measured: MEASURED,
        warnings: vec!["rows depend on each other".to_owned()],
    };
    let failed = Outcome::Failed {
        reason: "the graph cannot be loaded".to_owned(),
        warnings: Vec::new(),
    };
    let mut tx = world.store.system().await?;
    assert!(tx.versions().conclude(good.id, &ready, world.now()).await?);
    assert!(!tx.versions().conclude(good.id, &failed, world.now()).await?);
    assert!(tx.versions().conclude(bad.id, &failed, world.now()).await?);
    let shown = tx.versions().show(good.id).await?.context("shown")?;
    assert_eq!(
        (shown.state, shown.measured),
        (VersionState::Ready, Some(MEASURED))
    );
    assert_eq!(shown.warnings, ["made by a test", "rows depend on each other"]);
    assert_eq!(shown.checked_at, Some(world.now()));
    let shown = tx.versions().show(bad.id).await?.context("shown")?;
    assert_eq!(
        (shown.state, shown.reason.as_deref()),
        (VersionState::Failed, Some("the graph cannot be loaded"))
    );
    assert_eq!(tx.versions().files(bad.id).await?, bad.files);
    Ok(())
}

#[tokio::test]
async fn tries_without_a_verdict_are_kept_until_there_is_one() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let version = world.new_version(tenant, model, "good");
    world.upload(tenant, &version).await?;
    let mut tries = Vec::new();
    for end in [NoVerdict::Unfetched, NoVerdict::Silent] {
        let worker = WorkerId::new(&world.clock, &world.random);
        tries.push(FruitlessProof { worker, end });
        // As two processes do, one after the other.
        let mut tx = world.store.system().await?;
        let noted = tx
            .versions()
            .note_fruitless_proof(version.id, tries[tries.len() - 1])
            .await?;
        assert_eq!(noted.as_ref(), Some(&tries));
        tx.commit().await?;
    }
    let mut tx = world.store.system().await?;
    assert_eq!(tx.versions().fruitless_proofs(version.id).await?, tries);
    let failed = Outcome::Failed {
        reason: "no worker could fetch it".to_owned(),
        warnings: Vec::new(),
    };
    assert!(tx.versions().conclude(version.id, &failed, world.now()).await?);
    let late = tx.versions().note_fruitless_proof(version.id, tries[0]).await?;
    assert_eq!(late, None);
    // What a newer release writes does not keep this one from counting.
    let newer = serde_json::from_str::<NoVerdict>(r#""abducted""#)?;
    assert_eq!(newer, NoVerdict::Unknown);
    Ok(())
}

#[tokio::test]
async fn lost_check_is_found_and_queued_again() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let uploaded = world.ready(tenant, "ready", Reach::Project).await?;
    let waiting = world.new_version(tenant, uploaded.model, "waiting");
    world.upload(tenant, &waiting).await?;
    let mut tx = world.store.system().await?;
    assert_eq!(tx.versions().stuck_checking(world.now(), 10).await?, []);
    let stuck = tx.versions().stuck_checking(world.later(1), 10).await?;
    assert_eq!(
        stuck,
        [Unchecked {
            organization: tenant.organization,
            version: waiting.id
        }]
    );
    // Another process does not take the same one meanwhile.
    let mut second = world.store.system().await?;
    assert_eq!(second.versions().stuck_checking(world.later(1), 10).await?, []);
    second.rollback().await?;
    tx.versions().announced(&[waiting.id], world.later(1)).await?;
    tx.commit().await?;
    let mut tx = world.store.system().await?;
    assert_eq!(tx.versions().stuck_checking(world.later(1), 10).await?, []);
    Ok(())
}

#[tokio::test]
async fn bytes_are_swept_when_nothing_refers_to_them_and_nobody_stores_them() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let model = world.model(tenant, "minilm", Reach::Project).await?;
    let (first, second) = (
        world.new_version(tenant, model, "shared"),
        world.new_version(tenant, model, "shared"),
    );
    world.upload(tenant, &first).await?;
    world.upload(tenant, &second).await?;
    let later = world.later(1);
    let unreferenced = async || -> Result<usize> {
        let mut tx = world.store.system().await?;
        let found = tx.blobs().claim_unreferenced(later, 10).await?.len();
        tx.rollback().await?;
        Ok(found)
    };
    assert_eq!(unreferenced().await?, 0);
    let mut tx = world.store.tenant(organization).await?;
    tx.versions().delete(organization, first.id, world.now()).await?;
    tx.commit().await?;
    assert_eq!(unreferenced().await?, 0, "the second version has the same bytes");
    let mut tx = world.store.tenant(organization).await?;
    tx.versions().delete(organization, second.id, world.now()).await?;
    tx.commit().await?;
    assert_eq!(unreferenced().await?, 1);

    // An upload of the same bytes that has announced itself is left alone.
    let mut tx = world.store.tenant(organization).await?;
    tx.blobs()
        .touch(organization, &Sha256::of(b"shared"), 1000, world.later(2))
        .await?;
    tx.commit().await?;
    assert_eq!(unreferenced().await?, 0);

    let mut tx = world.store.system().await?;
    let claimed = tx.blobs().claim_unreferenced(world.later(3), 10).await?;
    assert_eq!(claimed, [(organization, Sha256::of(b"shared"))]);
    tx.blobs().remove(&claimed).await?;
    tx.commit().await?;
    assert_eq!(world.blobs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn upload_waits_for_the_sweep_of_the_same_bytes_and_announces_them_anew() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let digest = Sha256::of(b"swept");
    let mut tx = world.store.tenant(organization).await?;
    tx.blobs().touch(organization, &digest, 5, world.now()).await?;
    tx.commit().await?;

    let mut sweep = world.store.system().await?;
    let claimed = sweep.blobs().claim_unreferenced(world.later(1), 10).await?;
    assert_eq!(claimed.len(), 1);
    let upload = async {
        let mut tx = world.store.tenant(organization).await?;
        tx.blobs().touch(organization, &digest, 5, world.later(2)).await?;
        tx.commit().await?;
        anyhow::Ok(())
    };
    let finish = async {
        sweep.blobs().remove(&claimed).await?;
        sweep.commit().await?;
        anyhow::Ok(())
    };
    let (uploaded, swept) = tokio::join!(upload, finish);
    uploaded?;
    swept?;
    assert_eq!(world.blobs().await?, 1);
    Ok(())
}

#[tokio::test]
async fn bytes_that_a_version_needs_cannot_be_removed() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    world.ready(tenant, "minilm", Reach::Project).await?;
    let mut tx = world.store.system().await?;
    let error = tx
        .blobs()
        .remove(&[(tenant.organization, Sha256::of(b"minilm"))])
        .await
        .err()
        .context("removed")?;
    assert_eq!(error.constraint(), Some(NO_SUCH_BLOB));
    Ok(())
}

#[tokio::test]
async fn deleted_model_lets_go_of_its_files_and_its_name() -> Result<()> {
    let world = World::new().await?;
    let tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let uploaded = world.ready(tenant, "minilm", Reach::Project).await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(tx.models().lock(organization, uploaded.model).await?.is_some());
    assert!(!tx.models().is_deployed(organization, uploaded.model).await?);
    assert!(
        tx.models()
            .delete(organization, uploaded.model, world.now())
            .await?
    );
    assert!(
        !tx.models()
            .delete(organization, uploaded.model, world.now())
            .await?
    );
    assert!(tx.models().show(organization, uploaded.model).await?.is_none());
    assert!(
        tx.versions()
            .show(organization, uploaded.version)
            .await?
            .is_none()
    );
    assert_eq!(tx.versions().files(organization, uploaded.version).await?, []);
    tx.commit().await?;
    world.model(tenant, "minilm", Reach::Project).await?;
    Ok(())
}

#[tokio::test]
async fn deployed_version_cannot_be_deleted() -> Result<()> {
    let world = World::new().await?;
    let tenant: Tenant = world.tenant("acme").await?;
    let organization = tenant.organization;
    let uploaded = world.ready(tenant, "minilm", Reach::Project).await?;
    let deployment = world.deploy(tenant, "minilm", uploaded).await?;
    let mut tx = world.store.tenant(organization).await?;
    assert!(tx.models().is_deployed(organization, uploaded.model).await?);
    assert_eq!(
        tx.versions()
            .delete(organization, uploaded.version, world.now())
            .await?,
        Deletion::Deployed
    );
    assert!(
        tx.deployments()
            .delete(organization, deployment, world.now())
            .await?
    );
    assert_eq!(
        tx.versions()
            .delete(organization, uploaded.version, world.now())
            .await?,
        Deletion::Deleted
    );
    Ok(())
}
