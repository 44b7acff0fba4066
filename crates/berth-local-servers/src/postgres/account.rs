//! Under whose name the server runs. Postgres refuses to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::programs::find_program;

/// The user and group `nobody`, by number: the names differ between systems.
const NOBODY: u32 = 65_534;

/// Under whose name Postgres runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// The caller is an ordinary user.
    Caller,
    /// The caller is root: a user namespace shows Postgres another user id, while its files stay root's and can lie
    /// anywhere.
    UserNamespace,
    /// The caller is root and may not make user namespaces, as in most containers: Postgres runs as `nobody`, with
    /// its files where that user can reach them.
    Nobody,
}

impl Account {
    /// The account that works here.
    pub(super) fn choose() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        if find_program("unshare").is_none() {
            return Ok(Self::Nobody);
        }
        let mut probe = Self::UserNamespace.command(Path::new("true"));
        let status = probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(Error::run(Path::new("unshare")))?;
        Ok(if status.success() {
            Self::UserNamespace
        } else {
            Self::Nobody
        })
    }

    /// A command that runs a program under this account, with nothing of the caller's Postgres settings.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = match self {
            Self::Caller => Command::new(program),
            Self::UserNamespace => {
                // `unshare` without `--fork` becomes the program, so signals to the child reach it.
                let mut command = Command::new("unshare");
                command
                    .args(["--user", "--map-user=1000", "--map-group=1000", "--"])
                    .arg(program);
                command
            }
            Self::Nobody => {
                let mut command = Command::new(program);
                command.uid(NOBODY).gid(NOBODY);
                command
            }
        };
        // A caller's PGDATA, PGPORT and the like must not leak into a private server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").current_dir("/");
        command
    }

    /// Gives a folder and all in it to this account, if it belongs to another: the caller may have changed between
    /// two starts.
    pub(super) fn own(self, folder: &Path) -> Result<(), Error> {
        let Some(owner) = self.user() else { return Ok(()) };
        let metadata = folder.metadata().map_err(Error::file("reading", folder))?;
        if metadata.uid() == owner {
            Ok(())
        } else {
            own_all(folder, owner)
        }
    }

    /// Whether this account can reach what lies in a folder, judged by the permissions on the way. Root in a user
    /// namespace has no privileges over other users' files.
    pub(super) fn reaches(self, folder: &Path) -> bool {
        let Some(user) = self.user() else { return true };
        folder.ancestors().all(|step| {
            step.metadata().is_ok_and(|metadata| {
                let passing = if metadata.uid() == user {
                    0o100
                } else if metadata.gid() == user {
                    0o010
                } else {
                    0o001
                };
                metadata.permissions().mode() & passing != 0
            })
        })
    }

    /// The user, and group of the same number, that the system checks; unless it is the caller as he is.
    fn user(self) -> Option<u32> {
        match self {
            Self::Caller => None,
            Self::UserNamespace => Some(0),
            Self::Nobody => Some(NOBODY),
        }
    }
}

fn own_all(path: &Path, owner: u32) -> Result<(), Error> {
    let metadata = path.symlink_metadata().map_err(Error::file("reading", path))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    chown(path, Some(owner), Some(owner)).map_err(Error::file("changing the owner of", path))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(Error::file("reading", path))? {
            own_all(&entry.map_err(Error::file("reading", path))?.path(), owner)?;
        }
    }
    Ok(())
}
