//! What every artifact store does, whatever it is made of.

use std::path::PathBuf;

use berth_artifacts::{ArtifactStore, Error, Staging};
use berth_domain::clock::{ManualClock, Timestamp};
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::random::SeededRandom;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

/// More than one part of an upload in parts, and not a whole number of them.
const BIG: usize = (20 << 20) + 12_345;

/// A store, and a folder for the files that are put into it.
pub(crate) struct Scene {
    pub(crate) store: ArtifactStore,
    pub(crate) folder: TempDir,
    /// What was asked of the bucket, where somebody has listened.
    pub(crate) requests: Option<Box<dyn Fn() -> Vec<String> + Send + Sync>>,
}

impl Scene {
    pub(crate) fn of(store: ArtifactStore) -> Self {
        Self {
            store,
            folder: tempfile::tempdir().expect("a folder"),
            requests: None,
        }
    }

    pub(crate) fn file(&self, bytes: &[u8]) -> (PathBuf, Sha256) {
        let digest = Sha256::of(bytes);
        let path = self.folder.path().join(digest.to_string());
        std::fs::write(&path, bytes).expect("writes");
        (path, digest)
    }

    pub(crate) async fn read(&self, organization: OrganizationId, digest: Sha256, offset: u64) -> Vec<u8> {
        let object = self
            .store
            .read(organization, digest, offset)
            .await
            .expect("is there");
        let chunks: Vec<_> = object.bytes.try_collect().await.expect("reads");
        chunks.concat()
    }
}

pub(crate) fn organizations() -> (OrganizationId, OrganizationId) {
    let (clock, random) = (ManualClock::new(Timestamp::UNIX_EPOCH), SeededRandom::new(1));
    (
        OrganizationId::new(&clock, &random),
        OrganizationId::new(&clock, &random),
    )
}

/// Hands the names of all cases to a macro.
macro_rules! with_all_cases {
    ($macro:ident) => {
        $macro! {
            file_is_had_back_as_it_was_put
            big_file_is_had_back_from_any_place
            staged_upload_is_stored
            empty_file_is_stored
            file_of_one_organization_is_not_there_for_another
            putting_twice_and_deleting_twice_change_nothing
            file_with_another_digest_is_refused
            missing_file_is_told_from_a_failure
            check_succeeds
        }
    };
}
pub(crate) use with_all_cases;

pub(crate) async fn file_is_had_back_as_it_was_put(scene: Scene) {
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"weights");
    assert_eq!(scene.store.size(ours, digest).await.expect("answers"), None);
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert_eq!(scene.store.size(ours, digest).await.expect("answers"), Some(7));
    assert_eq!(scene.read(ours, digest, 0).await, b"weights");
}

pub(crate) async fn big_file_is_had_back_from_any_place(scene: Scene) {
    let (ours, _) = organizations();
    let bytes: Vec<u8> = (0..BIG)
        .map(|place| u8::try_from(place % 251).expect("small"))
        .collect();
    let (path, digest) = scene.file(&bytes);
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert!(scene.read(ours, digest, 0).await == bytes);
    for offset in [1, 9 << 20, BIG - 1] {
        let rest = scene
            .read(ours, digest, u64::try_from(offset).expect("small"))
            .await;
        assert!(rest == bytes[offset..], "from {offset}");
    }
}

pub(crate) async fn staged_upload_is_stored(scene: Scene) {
    let (ours, _) = organizations();
    let staging = Staging::open(scene.folder.path().join("staging"))
        .await
        .expect("opens");
    let mut upload = staging.begin(100).await.expect("begins");
    upload.write((&b"weights"[..]).into()).await.expect("fits");
    let staged = upload.finish().await.expect("finishes");
    let digest = staged.digest();
    scene.store.put_staged(ours, &staged).await.expect("stored");
    drop(staged);
    assert_eq!(scene.read(ours, digest, 0).await, b"weights");
}

pub(crate) async fn empty_file_is_stored(scene: Scene) {
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert_eq!(scene.store.size(ours, digest).await.expect("answers"), Some(0));
    assert_eq!(scene.read(ours, digest, 0).await, b"");
}

pub(crate) async fn file_of_one_organization_is_not_there_for_another(scene: Scene) {
    let (ours, theirs) = organizations();
    let (path, digest) = scene.file(b"weights");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert!(!scene.store.exists(theirs, digest).await.expect("answers"));
    let (path, _) = scene.file(b"weights");
    scene.store.put_file(theirs, digest, &path).await.expect("stored");
    scene.store.delete(ours, digest).await.expect("deleted");
    assert_eq!(scene.read(theirs, digest, 0).await, b"weights");
}

pub(crate) async fn putting_twice_and_deleting_twice_change_nothing(scene: Scene) {
    let (ours, _) = organizations();
    for _ in 0..2 {
        let (path, digest) = scene.file(b"weights");
        scene.store.put_file(ours, digest, &path).await.expect("stored");
        std::fs::remove_file(path).expect("the caller keeps its own name");
    }
    let digest = Sha256::of(b"weights");
    assert_eq!(scene.read(ours, digest, 0).await, b"weights");
    for _ in 0..2 {
        scene.store.delete(ours, digest).await.expect("deleted");
        assert!(!scene.store.exists(ours, digest).await.expect("answers"));
    }
    if let Some(requests) = &scene.requests {
        let puts = requests()
            .iter()
            .filter(|request| request.starts_with("PUT"))
            .count();
        assert_eq!(puts, 1, "what is there is not sent again");
    }
}

pub(crate) async fn file_with_another_digest_is_refused(scene: Scene) {
    let (ours, _) = organizations();
    let (path, _) = scene.file(b"weights");
    let promised = Sha256::of(b"other weights");
    let error = scene
        .store
        .put_file(ours, promised, &path)
        .await
        .expect_err("is a lie");
    assert!(
        matches!(error, Error::WrongDigest { expected, found } if expected == promised && found == Sha256::of(b"weights")),
        "{error}"
    );
    assert!(!scene.store.exists(ours, promised).await.expect("answers"));
}

pub(crate) async fn missing_file_is_told_from_a_failure(scene: Scene) {
    let (ours, _) = organizations();
    let digest = Sha256::of(b"weights");
    let error = scene.store.read(ours, digest, 0).await.expect_err("is not there");
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    if let Some(requests) = &scene.requests {
        assert!(
            requests()
                .iter()
                .all(|request| request.contains("/models/berth/org_"))
        );
    }
}

pub(crate) async fn check_succeeds(scene: Scene) {
    scene.store.check().await.expect("lives");
}
