//! The artifact store, as a folder and as a bucket: one suite over both.

#[path = "double/bucket.rs"]
mod bucket;
#[path = "suite/store.rs"]
mod suite;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use berth_artifacts::store::{Options, S3Options};
use berth_artifacts::{ArtifactStore, Error};
use berth_domain::secret::Secret;
use futures_util::TryStreamExt as _;

use self::bucket::{BUCKET, Bucket, KEY_ID};
use self::suite::{Scene, organizations};

async fn folder() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ArtifactStore::open(&Options::Folder(folder.path().join("artifacts")))
        .await
        .expect("opens");
    Scene {
        folder,
        ..Scene::of(store)
    }
}

async fn s3() -> Scene {
    let bucket = Bucket::start().await;
    let scene = over(&bucket).await;
    Scene {
        requests: Some(Box::new(move || bucket.seen())),
        ..scene
    }
}

async fn over(bucket: &Bucket) -> Scene {
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
    Scene::of(store)
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod over_a_folder { $(#[tokio::test] async fn $name() { crate::suite::$name(super::folder().await).await; })* }
        mod over_a_bucket { $(#[tokio::test] async fn $name() { crate::suite::$name(super::s3().await).await; })* }
    };
}

suite::with_all_cases!(suite);

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
    let bucket = Bucket::start().await;
    let scene = over(&bucket).await;
    let (ours, _) = organizations();
    let (path, digest) = scene.file(&vec![7; 300_000]);
    scene.store.put_file(ours, digest, &path).await.expect("stored");
    bucket.send_at_most(Some(100_000));
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
