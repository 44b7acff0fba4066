//! The folder of this node's sockets, inside the one that all nodes of the machine share.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use berth_domain::id::WorkerId;

const PREFIX: &str = "node-";
const CONTROL: &str = "control.sock";

/// The folder, removed when it is dropped.
#[derive(Debug)]
pub(super) struct Sockets(PathBuf);

impl Sockets {
    /// Makes a folder for the node `id`, and clears away those of nodes that are gone.
    pub(super) fn make(shared: &Path, id: WorkerId) -> io::Result<Self> {
        private().recursive(true).create(shared)?;
        clear(shared)?;
        // The end of an id is random, and a whole one would make the path too long for a socket.
        let id = id.to_string();
        let folder = shared.join(format!("{PREFIX}{}", &id[id.len() - 10..]));
        private().create(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Where the control service answers: `unix:` and a path.
    pub(super) fn control_address(&self) -> String {
        format!("unix:{}", self.0.join(CONTROL).display())
    }

    /// The control service's socket.
    pub(super) fn listen(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::bind(self.0.join(CONTROL))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the folder of sockets could not be removed; the next start does it");
        }
    }
}

/// Folders that only this user can enter.
fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Removes the folders of nodes whose control service answers no more.
fn clear(shared: &Path) -> io::Result<()> {
    for entry in fs::read_dir(shared)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let control = entry.path().join(CONTROL);
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if UnixStream::connect(control).is_err_and(refused) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use berth_domain::clock::SystemClock;
    use berth_domain::random::SystemRandom;

    use super::*;

    fn id() -> WorkerId {
        WorkerId::new(&SystemClock, &SystemRandom)
    }

    #[test]
    fn folders_of_dead_nodes_are_cleared_and_those_of_live_ones_stay() {
        let shared = tempfile::tempdir().expect("a folder");
        let dead = Sockets::make(shared.path(), id()).expect("a folder");
        drop(UnixListener::bind(dead.0.join(CONTROL)).expect("a socket"));
        let live = Sockets::make(shared.path(), id()).expect("a folder");
        let listener = UnixListener::bind(live.0.join(CONTROL)).expect("a socket");
        let third = Sockets::make(shared.path(), id()).expect("a folder");
        assert!(!dead.0.exists() && live.0.exists() && third.0.exists());
        std::mem::forget(dead);
        drop(listener);
    }

    #[test]
    fn nobody_else_can_enter_the_folder() {
        let shared = tempfile::tempdir().expect("a folder");
        let sockets = Sockets::make(&shared.path().join("new"), id()).expect("a folder");
        let mode = fs::metadata(sockets.folder())
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        let folder = sockets.folder().to_owned();
        drop(sockets);
        assert!(!folder.exists());
    }
}
