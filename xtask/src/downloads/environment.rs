//! Virtual environments with Python packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::wheel::python;
use crate::{command, repository};

/// What stands in an environment.
pub(super) struct Environment {
    pub(super) name: &'static str,
    /// Every package with its version and the digests of its wheels.
    pub(super) requirements: &'static str,
}

/// The interpreter of the environment, made on first use and again when the requirements or Python change.
pub(super) fn interpreter(environment: &Environment) -> Result<PathBuf> {
    let requirements = repository::root().join(environment.requirements);
    let text = fs::read(&requirements).with_context(|| format!("reading `{}`", requirements.display()))?;
    let version = command::output(Command::new(python()).arg("--version"))
        .context("asking for Python's version (Debian: `apt-get install python3 python3-pip`)")?;
    let digest = hex::encode(Sha256::new().chain_update(text).chain_update(version).finalize());
    let folder = super::folder().join(format!("{}-{}", environment.name, &digest[..16]));
    let interpreter = folder.join("bin/python");
    let mark = folder.join("complete");
    if mark.exists() {
        return Ok(interpreter);
    }
    eprintln!("Installing the packages of {}", environment.requirements);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing `{}`", folder.display()))?;
    }
    // Without pip of its own: Debian splits what would bring it into another package.
    command::output(
        Command::new(python())
            .args(["-m", "venv", "--without-pip"])
            .arg(&folder),
    )
    .context("making a virtual environment")?;
    command::output(
        Command::new(python())
            .args(["-m", "pip", "--python"])
            .arg(&interpreter)
            .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--require-hashes", "--requirement"])
            .arg(&requirements),
    )
    .with_context(|| {
        format!(
            "installing the packages of {} by pip (Debian: `apt-get install python3-pip`)",
            environment.requirements
        )
    })?;
    File::create(&mark).with_context(|| format!("writing `{}`", mark.display()))?;
    Ok(interpreter)
}

/// A folder below `folder` that `make` fills, made on first use and again when a file in `sources` changes.
pub(super) fn made<T>(
    folder: &Path,
    name: &str,
    sources: &Path,
    make: impl FnOnce(&Path) -> Result<T>,
) -> Result<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .with_context(|| format!("reading `{}`", sources.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    let mut digest = Sha256::new();
    for path in files {
        digest.update(fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?);
    }
    let made = folder.join(format!("{name}-{}", &hex::encode(digest.finalize())[..16]));
    if made.exists() {
        return Ok(made);
    }
    let passing = tempfile::tempdir_in(folder).context("making a temporary folder")?;
    let content = passing.path().join("content");
    fs::create_dir(&content).context("making a temporary folder")?;
    make(&content)?;
    match fs::rename(&content, &made) {
        // Another run of this program was faster.
        Err(_) if made.exists() => Ok(made),
        renamed => renamed
            .map(|()| made)
            .context("moving what was made to its place"),
    }
}
