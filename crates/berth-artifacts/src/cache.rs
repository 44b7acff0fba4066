//! What a worker keeps on its disk: files by digest, each checked before use, in a bounded space.
//!
//! ```text
//! files/<first two digits>/<digest>   whole files
//! partial/<digest>                    files that are being fetched; a fetch that broke off goes on here
//! folders/<organization>/<number>     model folders: links to files, for as long as somebody uses them
//! lock                                held by the process that uses the cache
//! ```

mod disk;
mod fetch;
mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_domain::clock::Clock;
use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::model::ModelFile;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use self::disk::Disk;
use self::index::Index;
use crate::blocking::blocking;
use crate::error::Error;
use crate::store::ArtifactStore;

/// Files of one model that are fetched at once.
const FETCHES_AT_ONCE: usize = 4;

/// How a cache is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder; one process at a time.
    pub folder: PathBuf,
    /// How many bytes it may hold. What is in use is never evicted: if that alone fills the cache, a fetch fails.
    pub limit_bytes: u64,
}

/// What a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// How many bytes it may hold.
    pub limit_bytes: u64,
    /// How many it holds, room for what is being fetched included.
    pub used_bytes: u64,
    /// How many of these are in use.
    pub pinned_bytes: u64,
}

/// The cache of a worker. Clones share it.
#[derive(Debug, Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Disk,
    store: ArtifactStore,
    clock: Arc<dyn Clock>,
    index: Mutex<Index>,
    next_folder: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared")
            .field("disk", &self.disk)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A model's files in one folder, as the model's author laid them out. They are links to files of the cache, which stay
/// there until this is dropped; then the folder is deleted.
#[derive(Debug)]
pub struct ModelFolder {
    folder: Folder,
    _pins: Pins,
}

/// A folder that is deleted when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

/// Keeps files of the cache from being evicted.
#[derive(Debug)]
struct Pins {
    shared: Arc<Shared>,
    /// Their sizes by digest.
    files: BTreeMap<Sha256, u64>,
}

impl Cache {
    /// Opens the cache, and takes stock of what is in it. Fails when another process uses it.
    pub async fn open(options: Options, store: ArtifactStore, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        blocking(move || {
            let disk = Disk::open(&options.folder)?;
            let mut index = Index::new(options.limit_bytes);
            for found in disk.take_stock()? {
                index.remember(found.digest, found.size_bytes, found.whole);
            }
            for digest in index.shrink() {
                disk.remove(digest)?;
            }
            Ok(Self {
                shared: Arc::new(Shared {
                    disk,
                    store,
                    clock,
                    index: Mutex::new(index),
                    next_folder: AtomicU64::new(0),
                }),
            })
        })
        .await
    }

    /// A folder with exactly these files of `organization`, fetched where they are missing, each checked against its
    /// digest. Fetches of the same file join. Fails when a file cannot be had, when there is no room, and when a path
    /// would leave the folder.
    pub async fn materialize(
        &self,
        organization: OrganizationId,
        files: &[ModelFile],
    ) -> Result<ModelFolder, Error> {
        check_paths(files)?;
        // A model may have the same bytes under several paths.
        let sizes = files.iter().map(|file| (file.digest, file.size_bytes)).collect();
        let pins = self.shared.pin(sizes).await?;
        // By value: a stream that borrows from the map makes a future that no task can be spawned with.
        futures_util::stream::iter(pins.files.clone())
            .map(|(digest, size_bytes)| self.shared.obtain(organization, digest, size_bytes))
            .buffer_unordered(FETCHES_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let shared = Arc::clone(&self.shared);
        let files = files.to_vec();
        let folder = blocking(move || {
            let number = shared.next_folder.fetch_add(1, Ordering::Relaxed);
            let folder = Folder(shared.disk.folder(organization, number)?);
            shared.disk.link(&folder.0, &files)?;
            Ok(folder)
        })
        .await?;
        Ok(ModelFolder { folder, _pins: pins })
    }

    /// What the cache holds now.
    pub fn usage(&self) -> Usage {
        self.shared.index().usage()
    }
}

impl ModelFolder {
    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.folder.0
    }

    /// Where the model folders of its organization are: all that a process may see that holds several of its models. It stays
    /// as long as the cache is open.
    pub fn organization_path(&self) -> &Path {
        self.folder.0.parent().unwrap_or(&self.folder.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a model folder could not be removed; the next start does it");
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut index = self.shared.index();
        for &digest in self.files.keys() {
            index.unpin(digest);
        }
    }
}

impl Shared {
    fn index(&self) -> MutexGuard<'_, Index> {
        // The index checks its own sums, and no change to it can panic half way.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses paths that leave the folder and paths that stand in each other's way. Uploads with such paths are refused
/// long before; this is the last door before the disk.
fn check_paths(files: &[ModelFile]) -> Result<(), Error> {
    let refuse = |path: &str| {
        Err(Error::Path {
            path: path.to_owned(),
        })
    };
    let mut seen = BTreeSet::new();
    for ModelFile { path, .. } in files {
        let plain = path
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
        if !plain || !seen.insert(path.as_str()) {
            return refuse(path);
        }
    }
    let folders = files.iter().flat_map(|file| {
        let path = file.path.as_str();
        path.match_indices('/').map(move |(end, _)| &path[..end])
    });
    for folder in folders {
        if seen.contains(folder) {
            return refuse(folder);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<ModelFile> {
        paths
            .iter()
            .map(|&path| ModelFile {
                path: path.to_owned(),
                digest: Sha256::of(b"x"),
                size_bytes: 1,
            })
            .collect()
    }

    #[test]
    fn plain_relative_paths_are_accepted() {
        assert!(check_paths(&files(&["model.onnx", "onnx/model.onnx", "a/b/.hidden", "a/b c"])).is_ok());
    }

    #[test]
    fn paths_that_leave_the_folder_or_collide_are_refused() {
        for bad in [
            &["../x"][..],
            &["/etc/passwd"],
            &["a/../../x"],
            &["a//b"],
            &["./a"],
            &[""],
            &["a\0b"],
            &["a", "a"],
            &["a", "a/b"],
            &["a/b/c", "a/b"],
        ] {
            assert!(
                matches!(check_paths(&files(bad)), Err(Error::Path { .. })),
                "{bad:?}"
            );
        }
    }
}
