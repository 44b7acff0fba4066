//! Sweeps over the stored state.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use berth_artifacts::ArtifactStore;
use berth_artifacts::store::Options as ArtifactOptions;
use berth_domain::digest::Sha256;
use berth_domain::id::{InvitationId, SessionId};
use berth_domain::permission::BuiltinRole;
use berth_domain::random::SystemRandom;
use berth_domain::work::ModelCheck;
use berth_jobs::sweeps::{Options, Parts, Sweeps, Swept};
use berth_store::invitations::NewInvitation;
use berth_store::refresh_tokens::NewRefreshToken;
use berth_store::roles::GivenRole;
use berth_store::sessions::NewSession;
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::house::House;

struct Scene {
    house: House,
    artifacts: ArtifactStore,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = ArtifactOptions::Folder(folder.path().join("artifacts"));
        Self {
            house: House::new().await,
            artifacts: ArtifactStore::open(&options).await.expect("opens"),
            folder,
        }
    }

    fn sweeps(&self, holder: &str) -> Sweeps {
        let parts = Parts {
            store: self.house.store.clone(),
            artifacts: self.artifacts.clone(),
            coordination: Arc::clone(&self.house.coordination),
            clock: Arc::new(self.house.clock.clone()),
            random: Arc::new(SystemRandom),
        };
        let options = Options {
            // Small, so that a few rows are several batches.
            batch: 2,
            ..Options::new(holder.to_owned(), Duration::from_mins(10))
        };
        Sweeps::new(parts, options)
    }

    async fn round(&self) -> Swept {
        self.sweeps("ann")
            .round(&CancellationToken::new())
            .await
            .expect("sweeps")
    }

    /// Stores bytes as an upload does: announced first.
    async fn store(&self, bytes: &[u8]) -> Sha256 {
        let digest = Sha256::of(bytes);
        self.house
            .touch(digest, u64::try_from(bytes.len()).expect("small"))
            .await;
        let path = self.folder.path().join(digest.to_string());
        write(&path, bytes);
        self.artifacts
            .put_file(self.house.organization, digest, &path)
            .await
            .expect("stored");
        digest
    }

    async fn is_stored(&self, digest: Sha256) -> bool {
        self.artifacts
            .exists(self.house.organization, digest)
            .await
            .expect("answers")
    }
}

/// Like a fresh upload: never over the bytes of an older one, which the store may have kept as they are.
fn write(path: &Path, bytes: &[u8]) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).expect("writes");
}

#[tokio::test]
async fn file_that_nothing_refers_to_goes_after_a_day() {
    let scene = Scene::new().await;
    let mut lonely = Vec::new();
    for number in 0..5_u8 {
        lonely.push(scene.store(&[number]).await);
    }
    let used = scene.store(b"used").await;
    let model = scene.house.model("a").await;
    let version = scene.house.version(model, b"used").await;
    assert_eq!(scene.round().await.blobs, 0, "an upload may still be under way");

    scene.house.clock.advance(TimeDelta::hours(25));
    assert_eq!(scene.round().await.blobs, 5);
    for digest in lonely {
        assert!(!scene.is_stored(digest).await);
    }
    assert!(scene.is_stored(used).await);
    assert_eq!(scene.round().await.blobs, 0);

    scene.house.delete_version(version).await;
    assert_eq!(scene.round().await.blobs, 1);
    assert!(!scene.is_stored(used).await);
}

#[tokio::test]
async fn bytes_that_are_uploaded_again_stay() {
    let scene = Scene::new().await;
    let digest = scene.store(b"again").await;
    scene.house.clock.advance(TimeDelta::hours(25));
    scene.store(b"again").await;
    assert_eq!(scene.round().await.blobs, 0);
    assert!(scene.is_stored(digest).await);
}

#[tokio::test]
async fn upload_at_the_same_moment_never_loses_its_bytes() {
    let scene = Scene::new().await;
    let model = scene.house.model("a").await;
    let mut swept = 0;
    for head_start in 0..25 {
        // The bytes lie there, forgotten, when they are swept and, sooner or later meanwhile, uploaded anew.
        scene.store(b"contested").await;
        scene.house.clock.advance(TimeDelta::hours(25));
        let upload = async {
            for _ in 0..head_start {
                scene.house.backlog().await;
            }
            let digest = scene.store(b"contested").await;
            (digest, scene.house.version(model, b"contested").await)
        };
        let (sweep, (digest, version)) = tokio::join!(scene.round(), upload);
        swept += sweep.blobs;
        assert!(scene.is_stored(digest).await, "a version has its bytes");
        scene.house.delete_version(version).await;
    }
    // Both orders are right; a run in which the sweep never came first has tried nothing.
    assert!(swept > 0, "the sweep never came first");
}

#[tokio::test]
async fn file_that_cannot_be_deleted_is_kept_and_holds_up_no_other() {
    let scene = Scene::new().await;
    let digest = scene.store(b"stubborn").await;
    scene.house.clock.advance(TimeDelta::seconds(1));
    let mut others = Vec::new();
    for number in 0..5_u8 {
        others.push(scene.store(&[number]).await);
    }
    scene.house.clock.advance(TimeDelta::hours(25));
    // A folder where a file should be cannot be deleted as one.
    let name = digest.to_string();
    let object = scene
        .folder
        .path()
        .join("artifacts")
        .join(scene.house.organization.to_string())
        .join(&name[..2])
        .join(&name);
    std::fs::remove_file(&object).expect("removes");
    std::fs::create_dir(&object).expect("makes");
    std::fs::write(object.join("inside"), b"x").expect("writes");
    assert_eq!(scene.round().await.blobs, 5, "it stood first in the line");
    for other in others {
        assert!(!scene.is_stored(other).await);
    }
    std::fs::remove_dir_all(&object).expect("removes");
    assert_eq!(scene.round().await.blobs, 0, "it has its time");
    scene.house.clock.advance(TimeDelta::hours(2));
    assert_eq!(
        scene.round().await.blobs,
        1,
        "the row was kept and is found again"
    );
}

#[tokio::test]
async fn check_that_got_lost_is_announced_again_once() {
    let scene = Scene::new().await;
    let model = scene.house.model("a").await;
    let mut versions = Vec::new();
    for number in 0..3_u8 {
        versions.push(scene.house.version(model, &[number]).await);
    }
    assert_eq!(scene.round().await.checks, 0, "its first announcement is fresh");
    scene.house.clock.advance(TimeDelta::minutes(16));
    assert_eq!(scene.round().await.checks, 3);
    assert_eq!(scene.round().await.checks, 0, "announced just now");
    let mut tx = scene.house.store.system().await.expect("begins");
    let waiting = tx.outbox().claim(10, &[]).await.expect("claims");
    let mut announced: Vec<_> = waiting
        .into_iter()
        .map(|message| {
            assert_eq!(message.organization, Some(scene.house.organization));
            serde_json::from_value::<ModelCheck>(message.payload)
                .expect("a check")
                .version
        })
        .collect();
    announced.sort_unstable();
    versions.sort_unstable();
    assert_eq!(announced, versions);
}

#[tokio::test]
async fn what_is_over_is_kept_for_a_while_and_then_removed() {
    let scene = Scene::new().await;
    let house = &scene.house;
    let mut tx = house
        .store
        .tenant_as(house.organization, house.owner)
        .await
        .expect("begins");
    for number in 0..5_u8 {
        let session = SessionId::new(&house.clock, &SystemRandom);
        tx.sessions()
            .insert(&NewSession {
                id: session,
                user: house.owner,
                client: None,
                created_at: house.now(),
                expires_at: house.now() + TimeDelta::days(1),
            })
            .await
            .expect("inserted");
        tx.refresh_tokens()
            .insert(&NewRefreshToken {
                token_hash: [number; 32],
                session,
                user: house.owner,
                created_at: house.now(),
                expires_at: house.now() + TimeDelta::days(1),
            })
            .await
            .expect("inserted");
        tx.invitations()
            .insert(
                house.organization,
                &NewInvitation {
                    id: InvitationId::new(&house.clock, &SystemRandom),
                    project: None,
                    email: format!("{number}@example.com").parse().expect("an address"),
                    role: GivenRole::Builtin(BuiltinRole::Viewer),
                    token_hash: [number; 32],
                    invited_by: Some(house.owner),
                    created_at: house.now(),
                    expires_at: house.now() + TimeDelta::days(7),
                },
            )
            .await
            .expect("inserted");
    }
    tx.commit().await.expect("commits");
    assert_eq!(scene.round().await, Swept::default());
    house.clock.advance(TimeDelta::days(7));
    assert_eq!(
        scene.round().await,
        Swept::default(),
        "ended, but kept to be looked at"
    );
    house.clock.advance(TimeDelta::days(2));
    assert_eq!(scene.round().await.expired, 5, "sessions");
    house.clock.advance(TimeDelta::days(30));
    assert_eq!(scene.round().await.expired, 5, "invitations");
    assert_eq!(scene.round().await, Swept::default());
}

#[tokio::test]
async fn one_process_sweeps_at_a_time() {
    let scene = Scene::new().await;
    scene.store(b"lonely").await;
    scene.house.clock.advance(TimeDelta::hours(25));
    scene
        .house
        .coordination
        .acquire("sweeps", "bob", Duration::from_mins(10))
        .await
        .expect("bob sweeps");
    assert_eq!(scene.round().await, Swept::default());
    scene
        .house
        .coordination
        .release("sweeps", "bob")
        .await
        .expect("bob is done");
    assert_eq!(scene.round().await.blobs, 1);
}

#[tokio::test]
async fn shutdown_ends_the_sweeps_and_gives_the_lease_back() {
    let scene = Scene::new().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(scene.sweeps("ann").run(shutdown.clone()));
    let digest = scene.store(b"lonely").await;
    shutdown.cancel();
    running.await.expect("ends in order");
    assert!(scene.is_stored(digest).await);
    let taken = scene
        .house
        .coordination
        .acquire("sweeps", "bob", Duration::from_secs(1))
        .await;
    assert!(taken.expect("answered"), "nobody holds the lease");
}
