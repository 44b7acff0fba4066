//! The artifact store over a real S3 server: the suite, and what only a server can do wrong.

#[path = "suite/store.rs"]
mod suite;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use berth_artifacts::ArtifactStore;
use berth_artifacts::store::{Options, S3Options};
use berth_domain::secret::Secret;
use berth_test_support::servers::seaweedfs::{self, ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use berth_test_support::{seaweedfs_program, wait_until};
use tempfile::TempDir;

use self::suite::{Scene, organizations};

const LIMIT: Duration = Duration::from_mins(1);

/// Starts a server over `folder`, on a free port or on the one that it had before.
fn start(folder: &TempDir, port: Option<u16>) -> Server {
    // As every `main` does; the second test of a process finds it done.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let program = seaweedfs_program().expect("is named");
    let options = seaweedfs::Options {
        port,
        ..seaweedfs::Options::new(program, folder.path())
    };
    Server::start(&options).expect("the server starts")
}

fn options(server: &Server) -> S3Options {
    S3Options {
        bucket: "models".to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(server.url()),
        prefix: Some("berth".to_owned()),
        credentials: Some((ACCESS_KEY_ID.to_owned(), Secret::new(SECRET_ACCESS_KEY))),
        allow_http: true,
        virtual_hosted_style: false,
    }
}

async fn store(options: S3Options) -> ArtifactStore {
    ArtifactStore::open(&Options::S3(options)).await.expect("opens")
}

/// An error with its causes, as a log line has them.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What the server must say to these options.
async fn assert_refused(options: S3Options, code: &str) {
    let error = store(options).await.check().await.expect_err("is refused");
    let text = told(&error);
    assert!(text.contains(code), "{text}");
    assert!(
        !text.contains(SECRET_ACCESS_KEY) && !text.contains("hunter2"),
        "{text}"
    );
}

/// One server for all, since each takes seconds to start.
#[tokio::test]
async fn suite_holds_over_a_real_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder, None);

    let missing = S3Options {
        bucket: "no-such-bucket".to_owned(),
        ..options(&server)
    };
    assert_refused(missing, "NoSuchBucket").await;

    macro_rules! run {
        ($($name:ident)*) => {$({
            let prefix = Some(stringify!($name).to_owned());
            // Puts something, so that the bucket is there.
            let scene = Scene::of(store(S3Options { prefix, ..options(&server) }).await);
            let (path, digest) = scene.file(b"first");
            let (_, theirs) = organizations();
            scene.store.put_file(theirs, digest, &path).await.expect("stored");
            suite::$name(scene).await;
        })*};
    }
    suite::with_all_cases!(run);

    let with = |id: &str, secret: &str| S3Options {
        credentials: Some((id.to_owned(), Secret::new(secret))),
        ..options(&server)
    };
    assert_refused(with(ACCESS_KEY_ID, "hunter2"), "SignatureDoesNotMatch").await;
    assert_refused(with("nobody", "hunter2"), "InvalidAccessKeyId").await;
    let scene = Scene::of(store(with(ACCESS_KEY_ID, "hunter2")).await);
    let (ours, _) = organizations();
    let (path, digest) = scene.file(b"weights");
    let error = scene.store.put_file(ours, digest, &path).await;
    assert!(
        matches!(error, Err(berth_artifacts::Error::Store { .. })),
        "{error:?}"
    );
}

/// The bytes of all volumes of a server.
fn stored_bytes(folder: &Path) -> u64 {
    let size = |entry: std::io::Result<std::fs::DirEntry>| -> Result<u64> {
        let entry = entry?;
        let is_volume = entry.path().extension().is_some_and(|ending| ending == "dat");
        Ok(if is_volume { entry.metadata()?.len() } else { 0 })
    };
    let entries = std::fs::read_dir(folder).expect("is there");
    entries.filter_map(|entry| size(entry).ok()).sum()
}

#[tokio::test]
async fn upload_whose_server_dies_fails_and_leaves_nothing_half() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start(&folder, None);
    let port = server.port();
    let scene = Scene::of(store(options(&server)).await);
    let (ours, _) = organizations();
    // Bytes that nobody can make smaller on the way.
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..6 << 20)
        .flat_map(|_: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state.to_le_bytes()
        })
        .collect();
    let (path, digest) = scene.file(&bytes);

    let upload = tokio::spawn({
        let (store, path) = (scene.store.clone(), path.clone());
        async move { store.put_file(ours, digest, &path).await }
    });
    let begun = stored_bytes(folder.path());
    let half = || async { stored_bytes(folder.path()) > begun + (16 << 20) };
    wait_until(LIMIT, half).await.expect("parts arrive");
    server.kill().expect("can be killed");
    let error = upload.await.expect("no panic").expect_err("the server is gone");
    assert!(error.is_transient(), "{}", told(&error));

    let server = start(&folder, Some(port));
    assert_eq!(
        scene.store.size(ours, digest).await.expect("answers"),
        None,
        "parts are no object"
    );
    scene
        .store
        .put_file(ours, digest, &path)
        .await
        .expect("works the second time");
    assert!(scene.read(ours, digest, 0).await == bytes);
    drop(server);
}
