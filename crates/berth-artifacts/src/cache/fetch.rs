//! Having one file: look, check, fetch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use futures_util::stream::StreamExt as _;

use super::disk::Stamp;
use super::index::State;
use super::{Pins, Shared};
use crate::blocking::blocking;
use crate::error::Error;
use crate::hashing::{Hasher, digest_file};
use crate::writer::Writer;

impl Shared {
    /// Keeps files from being evicted, and makes room for those that are not there.
    pub(super) async fn pin(self: &Arc<Self>, files: BTreeMap<Sha256, u64>) -> Result<Pins, Error> {
        let shared = Arc::clone(self);
        blocking(move || {
            let mut index = shared.index();
            let evicted = index.pin(&files)?;
            let pins = Pins {
                shared: Arc::clone(&shared),
                files,
            };
            // Deleted under the lock, so that nobody begins to fetch one of them anew before it is gone.
            let removed = evicted.into_iter().try_for_each(|evicted| {
                tracing::debug!(digest = %evicted, "evicted a file from the cache");
                shared.disk.remove(evicted)
            });
            drop(index);
            removed.map(|()| pins)
        })
        .await
    }

    /// Has a pinned file on the disk, whole and checked.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        organization: OrganizationId,
        digest: Sha256,
        size_bytes: u64,
    ) -> Result<(), Error> {
        let turn = self.index().turn(digest);
        let _turn = turn.lock().await;
        let state = self.index().state(digest);
        let usable = match state {
            State::Partial => false,
            State::Whole(checked) => self.check(digest, checked).await?,
        };
        if !usable {
            self.fetch(organization, digest, size_bytes).await?;
        }
        self.touch(digest).await;
        Ok(())
    }

    /// Whether the whole file on the disk has its digest. It is read only if it was not read before by this process, or
    /// has changed since; one that is broken is deleted.
    async fn check(self: &Arc<Self>, digest: Sha256, checked: Option<Stamp>) -> Result<bool, Error> {
        let shared = Arc::clone(self);
        blocking(move || {
            let path = shared.disk.file(digest);
            let stamp = match std::fs::metadata(&path) {
                Ok(metadata) => Stamp::of(&metadata),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(%digest, "a cached file has disappeared and is fetched again");
                    shared.index().advance(digest, State::Partial);
                    return Ok(false);
                }
                Err(error) => return Err(Error::disk("look at", path)(error)),
            };
            if checked == Some(stamp) {
                return Ok(true);
            }
            let (found, _) = digest_file(&path).map_err(Error::disk("read", &path))?;
            if found == digest {
                shared.index().advance(digest, State::Whole(Some(stamp)));
                return Ok(true);
            }
            tracing::warn!(%digest, %found, "a cached file is broken and is fetched again");
            shared.disk.remove(digest)?;
            shared.index().advance(digest, State::Partial);
            Ok(false)
        })
        .await
    }

    /// Fetches the file from the artifact store, going on where an earlier fetch broke off. If what is put together
    /// that way is wrong, it is fetched once more from its beginning.
    async fn fetch(
        self: &Arc<Self>,
        organization: OrganizationId,
        digest: Sha256,
        size_bytes: u64,
    ) -> Result<(), Error> {
        let resumed = self
            .download(organization, digest, size_bytes, Start::Resume)
            .await;
        match resumed {
            Err(Error::WrongDigest { .. } | Error::WrongSize { .. }) => {
                tracing::warn!(%digest, "a fetched file is broken and is fetched from its beginning");
                self.download(organization, digest, size_bytes, Start::Anew)
                    .await?;
            }
            other => other?,
        }
        let shared = Arc::clone(self);
        blocking(move || {
            let stamp = shared.disk.promote(digest)?;
            shared.index().advance(digest, State::Whole(Some(stamp)));
            Ok(())
        })
        .await
    }

    async fn download(
        self: &Arc<Self>,
        organization: OrganizationId,
        digest: Sha256,
        size_bytes: u64,
        start: Start,
    ) -> Result<(), Error> {
        let path = self.disk.partial(digest);
        let opening = path.clone();
        let (file, hasher, mut received) = blocking(move || {
            open_partial(&opening, size_bytes, start).map_err(Error::disk("open", &opening))
        })
        .await?;
        let mut writer = Writer::new(file, hasher, path);
        if received < size_bytes {
            let mut object = self.store.read(organization, digest, received).await?;
            if object.size_bytes != size_bytes {
                return Err(Error::WrongSize {
                    digest,
                    expected_bytes: size_bytes,
                });
            }
            while let Some(chunk) = object.bytes.next().await {
                let chunk = chunk?;
                received = received.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                if received > size_bytes {
                    break;
                }
                writer.write(chunk).await?;
            }
        }
        let found = writer.finish().await?;
        if received != size_bytes {
            return Err(Error::WrongSize {
                digest,
                expected_bytes: size_bytes,
            });
        }
        if found != digest {
            return Err(Error::WrongDigest {
                expected: digest,
                found,
            });
        }
        Ok(())
    }

    async fn touch(self: &Arc<Self>, digest: Sha256) {
        let shared = Arc::clone(self);
        blocking(move || {
            if let Err(error) = shared.disk.touch(digest, shared.clock.now().into()) {
                // Only the order of eviction after a restart suffers.
                tracing::debug!(%error, %digest, "the use of a cached file could not be noted on the disk");
            }
        })
        .await;
    }
}

/// Where a download begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// After what an earlier download left.
    Resume,
    /// At the first byte.
    Anew,
}

/// Opens a partial file at its end, with a hasher that has seen its bytes, and tells how many they are.
fn open_partial(path: &Path, size_bytes: u64, start: Start) -> io::Result<(File, Hasher, u64)> {
    if start == Start::Anew {
        // A new file rather than an emptied one: a write of the fetch that broke off may still be under way.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if file.metadata()?.len() > size_bytes {
        file.set_len(0)?;
    }
    let mut hasher = Hasher::default();
    let received = hasher.read(&mut file)?;
    Ok((file, hasher, received))
}
