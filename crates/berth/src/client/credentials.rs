//! Who is signed in where: `$XDG_CONFIG_HOME/berth/credentials.toml`, readable by its owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{env, fmt, io};

use serde::{Deserialize, Serialize};

use super::Error;

/// Who is signed in where, and what commands are about unless they say otherwise.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The address of the server.
    pub(crate) url: String,
    /// The organization that commands are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) organization: Option<String>,
    /// The project that commands are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// An API key; there when no person is signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<String>,
    /// The session of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Session>,
}

/// The session of a person.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Proves who calls, for some minutes.
    pub(crate) access_token: String,
    /// Gives the next pair of tokens, once.
    pub(crate) refresh_token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Session")
    }
}

/// The file with the credentials.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    /// The file of the person who runs this program.
    pub(crate) fn of_this_person() -> Self {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        Self::in_folder(&folder.unwrap_or_else(|| PathBuf::from(".")))
    }

    fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("berth").join("credentials.toml"),
        }
    }

    /// What the file says; `None` when there is none.
    pub(crate) fn read(&self) -> Result<Option<Credentials>, Error> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("reading", error)),
        };
        toml::from_str(&text).map(Some).map_err(|error| {
            // The parser's message quotes the line, which may hold a token.
            self.failed("reading", io::Error::other(error.message().to_owned()))
        })
    }

    /// Puts `credentials` in the place of what was there, in one step.
    pub(crate) fn write(&self, credentials: &Credentials) -> Result<(), Error> {
        let failed = |error| self.failed("writing", error);
        let folder = self.folder().map_err(failed)?;
        let text = toml::to_string(credentials).map_err(|error| self.failed("writing", error))?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Removes the file. Says whether there was one.
    pub(crate) fn remove(&self) -> Result<bool, Error> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("removing", error)),
        }
    }

    /// Keeps other processes of this person from renewing the session until the lock is dropped: a refresh token works
    /// once, and using it twice ends the session.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let failed = |error| self.failed("locking", error);
        let path = self.folder().map_err(failed)?.join("credentials.lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    fn folder(&self) -> io::Result<&Path> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(folder)
    }

    pub(super) fn failed(&self, action: &'static str, source: impl Into<anyhow::Error>) -> Error {
        Error::Credentials {
            action,
            path: self.path.clone(),
            source: source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            url: "http://127.0.0.1:8080".to_owned(),
            session: Some(Session {
                access_token: "hunter1".to_owned(),
                refresh_token: "hunter2".to_owned(),
            }),
            ..Credentials::default()
        }
    }

    #[test]
    fn written_credentials_are_read_again_and_closed_to_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::in_folder(folder.path());
        assert_eq!(store.read().expect("no file is no error"), None);
        store.write(&credentials()).expect("can write");
        assert_eq!(store.read().expect("can read"), Some(credentials()));
        let mode = fs::metadata(&store.path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(store.remove().expect("can remove"));
        assert!(!store.remove().expect("no file is no error"));
    }

    #[test]
    fn damaged_file_is_told_without_its_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::in_folder(folder.path());
        store.write(&credentials()).expect("can write");
        fs::write(&store.path, "url = \"x\"\n[session]\naccess_token = hunter2\n").expect("can write");
        let error = anyhow::Error::from(store.read().expect_err("is damaged"));
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }

    #[test]
    fn credentials_do_not_show_their_tokens() {
        assert!(!format!("{:?}", credentials()).contains("hunter"));
    }
}
