//! The product's programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{command, repository};

/// Where the built programs lie.
pub(crate) struct Programs {
    pub(crate) berth: PathBuf,
    pub(crate) worker: PathBuf,
}

/// Builds both programs.
pub(crate) fn programs() -> Result<Programs> {
    command::run(
        Command::new("cargo")
            .args(["build", "-p", "berth", "-p", "berth-worker"])
            .current_dir(repository::root()),
    )?;
    let folder = repository::target().join("debug");
    Ok(Programs {
        berth: folder.join("berth"),
        worker: folder.join("berth-worker"),
    })
}
