//! The cache's folder on the disk.

use std::fs::{File, FileTimes, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use berth_domain::digest::Sha256;
use berth_domain::id::OrganizationId;
use berth_domain::model::ModelFile;

use crate::blocking::sync_folder;
use crate::error::Error;

/// The folder, locked against other processes.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    _lock: File,
}

/// A file that was found on the disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) digest: Sha256,
    pub(super) size_bytes: u64,
    pub(super) whole: bool,
}

/// Tells a file that was checked from one that was changed or replaced since. (Not its change time: a link changes it.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Disk {
    /// Makes what is missing of the folder, and locks it.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        for name in ["files", "partial", "folders"] {
            let folder = root.join(name);
            std::fs::create_dir_all(&folder).map_err(Error::disk("make the folder", &folder))?;
        }
        let root = root.canonicalize().map_err(Error::disk("find", root))?;
        let path = root.join("lock");
        let lock = File::create(&path).map_err(Error::disk("make", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: root }),
            Err(TryLockError::Error(source)) => Err(Error::disk("lock", path)(source)),
        }
    }

    /// What is there, the longest unused first. Model folders of a process that died are deleted, and what is no file
    /// of ours as well.
    pub(super) fn take_stock(&self) -> Result<Vec<Found>, Error> {
        let folders = self.root.join("folders");
        std::fs::remove_dir_all(&folders)
            .and_then(|()| std::fs::create_dir(&folders))
            .map_err(Error::disk("clear", &folders))?;

        let mut found = Vec::new();
        list(&self.root.join("partial"), false, &mut found)?;
        let files = self.root.join("files");
        for entry in std::fs::read_dir(&files).map_err(Error::disk("list", &files))? {
            let folder = entry.map_err(Error::disk("list", &files))?.path();
            list(&folder, true, &mut found)?;
        }
        found.sort_by_key(|(used, _)| *used);
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// Where a whole file lies.
    pub(super) fn file(&self, digest: Sha256) -> PathBuf {
        let name = digest.to_string();
        self.root.join("files").join(&name[..2]).join(name)
    }

    /// Where a file lies while it is fetched.
    pub(super) fn partial(&self, digest: Sha256) -> PathBuf {
        self.root.join("partial").join(digest.to_string())
    }

    /// Where a model folder of `organization` lies; what is above it is made. That stays when the model folder goes: processes
    /// are shut in there.
    pub(super) fn folder(&self, organization: OrganizationId, number: u64) -> Result<PathBuf, Error> {
        let above = self.root.join("folders").join(organization.to_string());
        std::fs::create_dir_all(&above).map_err(Error::disk("make the folder", &above))?;
        Ok(above.join(number.to_string()))
    }

    /// Makes a partial file that was checked a whole one.
    pub(super) fn promote(&self, digest: Sha256) -> Result<Stamp, Error> {
        let (partial, file) = (self.partial(digest), self.file(digest));
        let promote = || {
            let opened = File::open(&partial)?;
            opened.set_permissions(std::fs::Permissions::from_mode(0o444))?;
            let folder = file.parent().unwrap_or(&self.root);
            std::fs::create_dir_all(folder)?;
            std::fs::rename(&partial, &file)?;
            sync_folder(folder)?;
            Ok(Stamp::of(&opened.metadata()?))
        };
        promote().map_err(Error::disk("keep", &file))
    }

    /// Deletes what there is of a file. Model folders that link to it keep their bytes.
    pub(super) fn remove(&self, digest: Sha256) -> Result<(), Error> {
        for path in [self.file(digest), self.partial(digest)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::disk("delete", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes on the disk that a file is used, so that the next start knows what was used last.
    pub(super) fn touch(&self, digest: Sha256, now: SystemTime) -> io::Result<()> {
        File::open(self.file(digest))?.set_times(FileTimes::new().set_accessed(now))
    }

    /// Makes `folder` with links to `files`, whose paths were checked.
    pub(super) fn link(&self, folder: &Path, files: &[ModelFile]) -> Result<(), Error> {
        std::fs::create_dir(folder).map_err(Error::disk("make the folder", folder))?;
        for file in files {
            let path = folder.join(&file.path);
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::hard_link(self.file(file.digest), &path))
                .map_err(Error::disk("link a cached file as", &path))?;
        }
        Ok(())
    }
}

fn list(folder: &Path, whole: bool, found: &mut Vec<(SystemTime, Found)>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::disk("list", folder))? {
        let entry = entry.map_err(Error::disk("list", folder))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(Error::disk("look at", &path))?;
        match entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            Some(digest) if metadata.is_file() => found.push((
                metadata.accessed().unwrap_or(SystemTime::UNIX_EPOCH),
                Found {
                    digest,
                    size_bytes: metadata.len(),
                    whole,
                },
            )),
            _ => {
                tracing::warn!(path = %path.display(), "the cache's folder holds something that is not part of it");
            }
        }
    }
    Ok(())
}
