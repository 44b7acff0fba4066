//! The folder in which everything lies that lasts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    _lock: File,
}

impl State {
    /// Opens the folder, made when it is not there. Fails when another process holds it.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let failed = || format!("opening the state folder `{}`", folder.display());
        make_folder(folder).with_context(failed)?;
        let root = folder.canonicalize().with_context(failed)?;
        let lock = private()
            .create(true)
            .append(true)
            .open(root.join("lock"))
            .with_context(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => {
                bail!("another `berth dev` uses the state folder `{}`", root.display())
            }
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(failed),
        }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A folder in the folder, made when it is not there.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        make_folder(&path).with_context(|| format!("making the folder `{}`", path.display()))?;
        Ok(path)
    }

    /// The file that holds a secret; the secret is made by `make` when it is not there yet.
    pub(crate) fn secret(&self, name: &str, make: impl FnOnce() -> String) -> anyhow::Result<PathBuf> {
        let path = self.folder("secrets")?.join(name);
        if !path.exists() {
            self.write_private(&path, make().as_bytes())?;
        }
        Ok(path)
    }

    /// Writes a file that only its owner can read, in one step.
    pub(crate) fn write_private(&self, path: &Path, content: &[u8]) -> anyhow::Result<()> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.root)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("writing `{}`", path.display()))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secret_is_made_once_and_closed_to_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = State::open(&folder.path().join("state")).expect("opens");
        let first = state.secret("pepper", || "one".to_owned()).expect("is made");
        let second = state.secret("pepper", || "two".to_owned()).expect("is there");
        assert_eq!(first, second);
        assert_eq!(fs::read_to_string(&first).expect("can be read"), "one");
        assert_eq!(
            fs::metadata(first).expect("is there").permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn folder_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let held = State::open(folder.path()).expect("opens");
        let error = State::open(folder.path()).expect_err("is held");
        assert!(error.to_string().contains("another `berth dev`"), "{error}");
        drop(held);
        State::open(folder.path()).expect("is free again");
    }
}
