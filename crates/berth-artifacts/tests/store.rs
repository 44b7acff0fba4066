//! The artifact store, as a folder and as a bucket: one suite over both.

#[path = "double/bucket.rs"]
mod bucket;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use berth_artifacts::store::{Options, S3Options};
use berth_artifacts::{ArtifactStore, Error, Staging};
use berth_domain::clock::{ManualClock, Timestamp};
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::random::SeededRandom;
use berth_domain::secret::Secret;
use futures_util::TryStreamExt as _;
use tempfile::TempDir;

use self::bucket::{BUCKET, Bucket, KEY_ID};

/// More than one part of an upload in parts, and not a whole number of them.
const BIG: usize = (20 << 20) + 12_345;

struct Scene {
    store: ArtifactStore,
    folder: TempDir,
    /// There when the store is one.
    bucket: Option<Bucket>,
}

async fn folder() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ArtifactStore::open(&Options::Folder(folder.path().join("artifacts")))
        .await
        .expect("opens");
    Scene {
        store,
        folder,
        bucket: None,
    }
}

async fn s3() -> Scene {
    let bucket = Bucket::start().await;
    let store = ArtifactStore::open(&Options::S3(S3Options {
        bucket: BUCKET.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(bucket.endpoint.clone()),
        prefix: Some("berth".to_owned()),
        credentials: Some((KEY_ID.to_owned(), Secret::new("hunter2"))),
        allow_http: true,
        virtual_hosted_style: false,
    }))
    .await
    .expect("opens");
    Scene {
        store,
        folder: tempfile::tempdir().expect("a folder"),
        bucket: Some(bucket),
    }
}

impl Scene {
    fn file(&self, bytes: &[u8]) -> (PathBuf, Sha256) {
        let digest = Sha256::of(bytes);
        let path = self.folder.path().join(digest.to_string());
        std::fs::write(&path, bytes).expect("writes");
        (path, digest)
    }

    async fn read(&self, organization: OrganizationId, digest: Sha256, offset: u64) -> Vec<u8> {
        let object = self
            .store
            .read(organization, digest, offset)
            .await
            .expect("is there");
        let chunks: Vec<_> = object.bytes.try_collect().await.expect("reads");
        chunks.concat()
    }
}

fn organizations() -> (OrganizationId, OrganizationId) {
    let (clock, random) = (ManualClock::new(Timestamp::UNIX_EPOCH), SeededRandom::new(1));
    (
        OrganizationId::new(&clock, &random),
        OrganizationId::new(&clock, &random),
    )
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod over_a_folder { $(#[tokio::test] async fn $name() { super::$name(super::folder().await).await; })* }
        mod over_a_bucket { $(#[tokio::test] async fn $name() { super::$name(super::s3().await).await; })* }
    };
}

suite! {
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

async fn file_is_had_back_as_it_was_put(scene: Scene) {
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"weights");
    assert_eq!(scene.store.size(ours, digest).await.expect("answers"), None);
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert_eq!(scene.store.size(ours, digest).await.expect("answers"), Some(7));
    assert_eq!(scene.read(ours, digest, 0).await, b"weights");
}

async fn big_file_is_had_back_from_any_place(scene: Scene) {
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

async fn staged_upload_is_stored(scene: Scene) {
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

async fn empty_file_is_stored(scene: Scene) {
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert_eq!(scene.store.size(ours, digest).await.expect("answers"), Some(0));
    assert_eq!(scene.read(ours, digest, 0).await, b"");
}

async fn file_of_one_organization_is_not_there_for_another(scene: Scene) {
    let (ours, theirs) = organizations();
    let (path, digest) = scene.file(b"weights");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert!(!scene.store.exists(theirs, digest).await.expect("answers"));
    let (path, _) = scene.file(b"weights");
    scene.store.put_file(theirs, digest, &path).await.expect("stored");
    scene.store.delete(ours, digest).await.expect("deleted");
    assert_eq!(scene.read(theirs, digest, 0).await, b"weights");
}

async fn putting_twice_and_deleting_twice_change_nothing(scene: Scene) {
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
    if let Some(bucket) = &scene.bucket {
        let puts = bucket
            .seen()
            .iter()
            .filter(|seen| seen.starts_with("PUT"))
            .count();
        assert_eq!(puts, 1, "what is there is not sent again");
    }
}

async fn file_with_another_digest_is_refused(scene: Scene) {
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

async fn missing_file_is_told_from_a_failure(mut scene: Scene) {
    let (ours, _) = organizations();
    let digest = Sha256::of(b"weights");
    let error = scene.store.read(ours, digest, 0).await.expect_err("is not there");
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    if let Some(bucket) = scene.bucket.take() {
        assert!(
            bucket
                .seen()
                .iter()
                .all(|seen| seen.contains("/models/berth/org_"))
        );
    }
}

async fn check_succeeds(scene: Scene) {
    scene.store.check().await.expect("lives");
}

#[tokio::test]
async fn wrong_key_is_a_failure_and_not_a_missing_file() {
    let bucket = Bucket::start().await;
    let store = ArtifactStore::open(&Options::S3(S3Options {
        bucket: BUCKET.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(bucket.endpoint.clone()),
        credentials: Some(("someone-else".to_owned(), Secret::new("hunter2"))),
        allow_http: true,
        ..S3Options::default()
    }))
    .await
    .expect("opens");
    let error = store.check().await.expect_err("is refused");
    assert!(matches!(error, Error::Store { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn answer_that_breaks_off_is_not_taken_for_the_whole() {
    let scene = s3().await;
    let (ours, _) = organizations();
    let (path, digest) = scene.file(&vec![7; 300_000]);
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    scene.bucket.as_ref().expect("is one").send_at_most(Some(100_000));
    let object = scene.store.read(ours, digest, 0).await.expect("begins");
    assert_eq!(object.size_bytes, 300_000);
    let error = object
        .bytes
        .try_collect::<Vec<_>>()
        .await
        .expect_err("breaks off");
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn folder_store_keeps_a_file_without_copying_and_nobody_may_write_it() {
    let scene = folder().await;
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"weights");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    let name = digest.to_string();
    let object = scene
        .folder
        .path()
        .join("artifacts")
        .join(ours.to_string())
        .join(&name[..2])
        .join(&name);
    let (object, source) = (metadata(&object), metadata(&path));
    assert_eq!(object.ino(), source.ino());
    assert_eq!(object.permissions().mode() & 0o222, 0);
}

#[tokio::test]
async fn folder_store_on_another_disk_gets_a_copy() {
    // Memory is another disk than the folder for temporary files, or at least does no harm if it is not.
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let store = ArtifactStore::open(&Options::Folder(elsewhere.path().to_owned()))
        .await
        .expect("opens");
    let scene = Scene {
        store,
        ..folder().await
    };
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"weights");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    std::fs::remove_file(path).expect("the caller keeps its own name");
    assert_eq!(scene.read(ours, digest, 0).await, b"weights");
}

#[tokio::test]
async fn broken_object_is_replaced_by_the_next_upload() {
    let scene = folder().await;
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"weights");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    let name = digest.to_string();
    let object = scene
        .folder
        .path()
        .join("artifacts")
        .join(ours.to_string())
        .join(&name[..2])
        .join(&name);
    std::fs::remove_file(&object).expect("removes");
    std::fs::write(&object, b"wei").expect("writes half");
    let (path, digest) = scene.file(b"weights");
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    assert_eq!(scene.read(ours, digest, 0).await, b"weights");
}

fn metadata(path: &Path) -> std::fs::Metadata {
    std::fs::metadata(path).expect("is there")
}
