//! The product's programs.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, repository};

/// Where the built programs lie.
pub(crate) struct Programs {
    pub(crate) berth: PathBuf,
    pub(crate) worker: PathBuf,
}

/// Builds both programs and nothing else.
pub(crate) fn programs() -> Result<Programs> {
    build(&["-p", "berth", "-p", "berth-worker"])
}

/// Builds both programs with the libraries that the tests will link: cargo chooses the features of libraries by the
/// packages that it is asked for, and would otherwise compile many of them twice.
pub(crate) fn programs_for_tests() -> Result<Programs> {
    build(&["--workspace", "--bins", "--exclude", "xtask"])
}

fn build(packages: &[&str]) -> Result<Programs> {
    command::run(command::cargo().arg("build").args(packages))?;
    let folder = repository::target().join("debug");
    Ok(Programs {
        berth: folder.join("berth"),
        worker: folder.join("berth-worker"),
    })
}
