//! The worker's cache, over a folder store and over a bucket whose answers break off.

#[path = "double/bucket.rs"]
mod bucket;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_artifacts::cache::{self, Cache, Usage};
use berth_artifacts::store::{Options, S3Options};
use berth_artifacts::{ArtifactStore, Error};
use berth_domain::clock::{ManualClock, Timestamp};
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::model::ModelFile;
use berth_domain::random::SeededRandom;
use berth_domain::secret::Secret;
use chrono::TimeDelta;
use tempfile::TempDir;

use self::bucket::{BUCKET, Bucket, KEY_ID};

struct Scene {
    folder: TempDir,
    store: ArtifactStore,
    organization: OrganizationId,
    clock: ManualClock,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = ArtifactStore::open(&Options::Folder(folder.path().join("artifacts")))
            .await
            .expect("opens");
        Self::over(folder, store)
    }

    async fn over_bucket(bucket: &Bucket) -> Self {
        let store = ArtifactStore::open(&Options::S3(S3Options {
            bucket: BUCKET.to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(bucket.endpoint.clone()),
            credentials: Some((KEY_ID.to_owned(), Secret::new("hunter2"))),
            allow_http: true,
            ..S3Options::default()
        }))
        .await
        .expect("opens");
        Self::over(tempfile::tempdir().expect("a folder"), store)
    }

    fn over(folder: TempDir, store: ArtifactStore) -> Self {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH + TimeDelta::days(20_000));
        Self {
            organization: OrganizationId::new(&clock, &SeededRandom::new(1)),
            folder,
            store,
            clock,
        }
    }

    async fn cache(&self, limit_bytes: u64) -> Cache {
        self.try_cache(limit_bytes).await.expect("opens")
    }

    async fn try_cache(&self, limit_bytes: u64) -> Result<Cache, Error> {
        let options = cache::Options {
            folder: self.folder.path().join("cache"),
            limit_bytes,
        };
        Cache::open(options, self.store.clone(), Arc::new(self.clock.clone())).await
    }

    /// Puts `bytes` into the store, and says how a model names them.
    async fn stored(&self, path: &str, bytes: &[u8]) -> ModelFile {
        let digest = Sha256::of(bytes);
        let source = self.folder.path().join("source");
        std::fs::write(&source, bytes).expect("writes");
        self.store
            .put_file(self.organization, digest, &source)
            .await
            .expect("stored");
        std::fs::remove_file(source).expect("removes");
        ModelFile {
            path: path.to_owned(),
            digest,
            size_bytes: u64::try_from(bytes.len()).expect("small"),
        }
    }

    async fn use_once(&self, cache: &Cache, file: &ModelFile) -> Result<(), Error> {
        self.clock.advance(TimeDelta::seconds(1));
        cache
            .materialize(self.organization, std::slice::from_ref(file))
            .await
            .map(drop)
    }

    fn cached(&self, file: &ModelFile) -> PathBuf {
        let name = file.digest.to_string();
        self.folder
            .path()
            .join("cache/files")
            .join(&name[..2])
            .join(&name)
    }

    fn partial(&self, file: &ModelFile) -> PathBuf {
        self.folder
            .path()
            .join("cache/partial")
            .join(file.digest.to_string())
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("lists").count()
}

/// Changes a file whatever its mode, as a failing disk would.
fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("may");
    std::fs::write(path, bytes).expect("writes");
}

#[tokio::test]
async fn model_is_laid_out_as_its_author_did_and_goes_when_nobody_uses_it() {
    let scene = Scene::new().await;
    let cache = scene.cache(1_000).await;
    let files = [
        scene.stored("config.json", b"{}").await,
        scene.stored("onnx/model.onnx", b"graph").await,
        scene.stored("onnx/again/same.onnx", b"graph").await,
    ];
    let model = cache
        .materialize(scene.organization, &files)
        .await
        .expect("is had");
    assert_eq!(
        std::fs::read(model.path().join("config.json")).expect("reads"),
        b"{}"
    );
    let graph = model.path().join("onnx/model.onnx");
    assert_eq!(std::fs::read(&graph).expect("reads"), b"graph");
    let cached = std::fs::metadata(scene.cached(&files[1])).expect("is there");
    assert_eq!(
        std::fs::metadata(&graph).expect("is there").ino(),
        cached.ino(),
        "linked, not copied"
    );
    assert_eq!(cached.permissions().mode() & 0o222, 0, "nobody may write it");
    assert_eq!(
        cache.usage(),
        Usage {
            limit_bytes: 1_000,
            used_bytes: 7,
            pinned_bytes: 7
        }
    );
    let path = model.path().to_owned();
    drop(model);
    assert!(!path.exists());
    assert_eq!(cache.usage().pinned_bytes, 0);
    assert!(
        scene.cached(&files[1]).exists(),
        "the file stays for the next time"
    );
}

#[tokio::test]
async fn file_that_was_fetched_is_not_fetched_again() {
    let scene = Scene::new().await;
    let cache = scene.cache(1_000).await;
    let file = scene.stored("model.onnx", b"graph").await;
    scene.use_once(&cache, &file).await.expect("is had");
    scene
        .store
        .delete(scene.organization, file.digest)
        .await
        .expect("deleted");
    scene.use_once(&cache, &file).await.expect("is had from the disk");
    drop(cache);
    let reopened = scene.cache(1_000).await;
    scene
        .use_once(&reopened, &file)
        .await
        .expect("is had from the disk");
    assert_eq!(reopened.usage().used_bytes, 5);
}

#[tokio::test]
async fn broken_cached_file_is_noticed_and_fetched_again() {
    let scene = Scene::new().await;
    let cache = scene.cache(1_000).await;
    let file = scene.stored("model.onnx", b"graph").await;
    scene.use_once(&cache, &file).await.expect("is had");
    overwrite(&scene.cached(&file), b"grapf");
    let model = cache
        .materialize(scene.organization, std::slice::from_ref(&file))
        .await
        .expect("is had");
    assert_eq!(
        std::fs::read(model.path().join("model.onnx")).expect("reads"),
        b"graph"
    );
}

#[tokio::test]
async fn file_broken_while_nobody_ran_is_noticed_too() {
    let scene = Scene::new().await;
    let file = scene.stored("model.onnx", b"graph").await;
    scene
        .use_once(&scene.cache(1_000).await, &file)
        .await
        .expect("is had");
    let before = std::fs::metadata(scene.cached(&file))
        .and_then(|it| it.modified())
        .expect("is there");
    overwrite(&scene.cached(&file), b"grapf");
    std::fs::File::open(scene.cached(&file))
        .and_then(|opened| opened.set_modified(before))
        .expect("the time is set back");
    let cache = scene.cache(1_000).await;
    let model = cache
        .materialize(scene.organization, std::slice::from_ref(&file))
        .await
        .expect("is had");
    assert_eq!(
        std::fs::read(model.path().join("model.onnx")).expect("reads"),
        b"graph"
    );
}

#[tokio::test]
async fn cached_file_that_disappeared_is_fetched_again() {
    let scene = Scene::new().await;
    let cache = scene.cache(1_000).await;
    let file = scene.stored("model.onnx", b"graph").await;
    scene.use_once(&cache, &file).await.expect("is had");
    std::fs::remove_file(scene.cached(&file)).expect("removes");
    scene.use_once(&cache, &file).await.expect("is had again");
}

#[tokio::test]
async fn store_that_holds_other_bytes_is_not_believed() {
    let scene = Scene::new().await;
    let cache = scene.cache(1_000).await;
    let file = scene.stored("model.onnx", b"graph").await;
    let name = file.digest.to_string();
    let object = scene
        .folder
        .path()
        .join("artifacts")
        .join(scene.organization.to_string())
        .join(&name[..2])
        .join(&name);
    overwrite(&object, b"grapf");
    let error = scene.use_once(&cache, &file).await.expect_err("is a lie");
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    overwrite(&object, b"longer");
    let error = scene.use_once(&cache, &file).await.expect_err("is a lie");
    assert!(
        matches!(
            error,
            Error::WrongSize {
                expected_bytes: 5,
                ..
            }
        ),
        "{error}"
    );
    assert!(!scene.cached(&file).exists());
    assert_eq!(count(&scene.folder.path().join("cache/folders")), 0);
    overwrite(&object, b"graph");
    scene
        .use_once(&cache, &file)
        .await
        .expect("is had when the store is right again");
}

#[tokio::test]
async fn file_that_the_store_lacks_is_an_error() {
    let scene = Scene::new().await;
    let cache = scene.cache(1_000).await;
    let file = ModelFile {
        path: "model.onnx".to_owned(),
        digest: Sha256::of(b"nowhere"),
        size_bytes: 7,
    };
    let error = scene.use_once(&cache, &file).await.expect_err("is not there");
    assert!(
        matches!(error, Error::Missing { digest } if digest == file.digest),
        "{error}"
    );
    assert_eq!(cache.usage().pinned_bytes, 0);
}

#[tokio::test]
async fn longest_unused_files_make_room_and_used_ones_stay() {
    let scene = Scene::new().await;
    let cache = scene.cache(10).await;
    let mut files = Vec::new();
    for name in ["a", "b", "c"] {
        files.push(scene.stored(name, &[name.as_bytes()[0]; 4]).await);
    }
    let [a, b, c] = &files[..] else {
        panic!("three files")
    };
    let used = cache
        .materialize(scene.organization, std::slice::from_ref(a))
        .await
        .expect("is had");
    scene.use_once(&cache, b).await.expect("is had");
    scene
        .use_once(&cache, c)
        .await
        .expect("takes the place of b, which nobody uses");
    assert!(scene.cached(a).exists() && !scene.cached(b).exists() && scene.cached(c).exists());
    let error = cache
        .materialize(scene.organization, &files)
        .await
        .expect_err("is too much at once");
    assert!(matches!(error, Error::Full { limit_bytes: 10, .. }), "{error}");
    drop(used);
    scene.use_once(&cache, b).await.expect("a was used longest ago");
    assert!(!scene.cached(a).exists());
    assert!(cache.usage().used_bytes <= 10);
}

#[tokio::test]
async fn order_of_use_survives_a_restart() {
    let scene = Scene::new().await;
    let cache = scene.cache(8).await;
    let a = scene.stored("a", b"aaaa").await;
    let b = scene.stored("b", b"bbbb").await;
    let c = scene.stored("c", b"cccc").await;
    for file in [&a, &b, &a] {
        scene.use_once(&cache, file).await.expect("is had");
    }
    drop(cache);
    let cache = scene.cache(8).await;
    scene.use_once(&cache, &c).await.expect("is had");
    assert!(scene.cached(&a).exists() && !scene.cached(&b).exists());
}

#[tokio::test]
async fn smaller_limit_is_kept_from_the_start() {
    let scene = Scene::new().await;
    let cache = scene.cache(8).await;
    let a = scene.stored("a", b"aaaa").await;
    let b = scene.stored("b", b"bbbb").await;
    for file in [&a, &b] {
        scene.use_once(&cache, file).await.expect("is had");
    }
    drop(cache);
    let cache = scene.cache(5).await;
    assert_eq!(cache.usage().used_bytes, 4);
    assert!(!scene.cached(&a).exists() && scene.cached(&b).exists());
}

#[tokio::test]
async fn fetches_of_one_file_join() {
    let bucket = Bucket::start().await;
    let scene = Scene::over_bucket(&bucket).await;
    let cache = scene.cache(100 << 20).await;
    let file = scene.stored("model.onnx", &vec![7; 3 << 20]).await;
    let models = futures_util::future::try_join_all(
        (0..8).map(|_| cache.materialize(scene.organization, std::slice::from_ref(&file))),
    )
    .await
    .expect("are had");
    assert_eq!(models.len(), 8);
    let gets = bucket
        .seen()
        .iter()
        .filter(|seen| seen.starts_with("GET"))
        .count();
    assert_eq!(gets, 1, "{:?}", bucket.seen());
}

#[tokio::test]
async fn fetch_that_broke_off_goes_on_where_it_was() {
    let bucket = Bucket::start().await;
    let scene = Scene::over_bucket(&bucket).await;
    let cache = scene.cache(100 << 20).await;
    let bytes: Vec<u8> = (0..5 << 20).map(|place: u32| place.to_le_bytes()[1]).collect();
    let file = scene.stored("model.onnx", &bytes).await;
    bucket.send_at_most(Some(3 << 20));
    let error = scene.use_once(&cache, &file).await.expect_err("breaks off");
    assert!(error.is_transient(), "{error}");
    bucket.send_at_most(None);
    let before = bucket.seen().len();
    let model = cache
        .materialize(scene.organization, std::slice::from_ref(&file))
        .await
        .expect("is had");
    assert!(std::fs::read(model.path().join("model.onnx")).expect("reads") == bytes);
    let ranges: Vec<_> = bucket.seen()[before..]
        .iter()
        .filter_map(|seen| seen.split_once("bytes=").map(|(_, range)| range.to_owned()))
        .collect();
    let resumed_at: usize = ranges[0].trim_end_matches('-').parse().expect("a number");
    assert!(resumed_at >= 2 << 20, "goes on at {resumed_at}");
}

#[tokio::test]
async fn next_process_goes_on_with_a_partial_file() {
    let scene = Scene::new().await;
    let cache = scene.cache(100).await;
    let file = scene.stored("model.onnx", b"graph").await;
    drop(cache);
    std::fs::write(scene.partial(&file), b"gra").expect("writes");
    let cache = scene.cache(100).await;
    assert_eq!(cache.usage().used_bytes, 3, "a partial file takes room too");
    let model = cache
        .materialize(scene.organization, std::slice::from_ref(&file))
        .await
        .expect("is had");
    assert_eq!(
        std::fs::read(model.path().join("model.onnx")).expect("reads"),
        b"graph"
    );
    assert_eq!(cache.usage().used_bytes, 5);
    assert!(!scene.partial(&file).exists());
}

#[tokio::test]
async fn partial_file_with_wrong_bytes_is_fetched_from_its_beginning() {
    let scene = Scene::new().await;
    let file = scene.stored("model.onnx", b"graph").await;
    for wrong in [&b"xyz"[..], b"xyzzy", b"far too long"] {
        drop(scene.cache(100).await);
        std::fs::write(scene.partial(&file), wrong).expect("writes");
        let cache = scene.cache(100).await;
        let model = cache
            .materialize(scene.organization, std::slice::from_ref(&file))
            .await
            .expect("is had");
        assert_eq!(
            std::fs::read(model.path().join("model.onnx")).expect("reads"),
            b"graph"
        );
        std::fs::remove_file(scene.cached(&file)).expect("removes");
    }
}

#[tokio::test]
async fn model_folders_of_a_dead_process_are_removed() {
    let scene = Scene::new().await;
    let cache = scene.cache(100).await;
    let file = scene.stored("model.onnx", b"graph").await;
    let model = cache
        .materialize(scene.organization, std::slice::from_ref(&file))
        .await
        .expect("is had");
    let path = model.path().to_owned();
    drop(cache);
    // The lock goes with the process; a killed one runs no destructors.
    drop(model);
    std::fs::create_dir(&path).expect("made");
    std::fs::hard_link(scene.cached(&file), path.join("model.onnx")).expect("linked");
    let _cache = scene.cache(100).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn second_process_is_refused() {
    let scene = Scene::new().await;
    let first = scene.cache(100).await;
    let error = scene.try_cache(100).await.expect_err("is in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(first);
    scene.cache(100).await;
}

#[tokio::test]
async fn path_that_leaves_the_folder_is_refused() {
    let scene = Scene::new().await;
    let cache = scene.cache(100).await;
    let file = scene.stored("../../outside", b"graph").await;
    let error = scene.use_once(&cache, &file).await.expect_err("leaves");
    assert!(matches!(error, Error::Path { .. }), "{error}");
    assert!(!scene.folder.path().join("outside").exists());
}
