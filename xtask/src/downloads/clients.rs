//! A virtual environment with the official client libraries.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::wheel::python;
use crate::{command, repository};

/// Every package with its version and the digests of its wheels.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

/// The interpreter of the environment, made on first use and again when the requirements or Python change.
pub(super) fn interpreter() -> Result<PathBuf> {
    let requirements = repository::root().join(REQUIREMENTS);
    let text = fs::read(&requirements).with_context(|| format!("reading `{}`", requirements.display()))?;
    let version = command::output(Command::new(python()).arg("--version"))
        .context("asking for Python's version (Debian: `apt-get install python3 python3-pip`)")?;
    let digest = hex::encode(Sha256::new().chain_update(text).chain_update(version).finalize());
    let folder = super::folder().join(format!("clients-{}", &digest[..16]));
    let interpreter = folder.join("bin/python");
    let mark = folder.join("complete");
    if mark.exists() {
        return Ok(interpreter);
    }
    eprintln!("Installing the client libraries of {REQUIREMENTS}");
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
    .context("installing the client libraries by pip (Debian: `apt-get install python3-pip`)")?;
    File::create(&mark).with_context(|| format!("writing `{}`", mark.display()))?;
    Ok(interpreter)
}
