//! The test runner.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{command, repository};

/// The version that is installed when there is none.
const VERSION: &str = "0.9.143";

/// `cargo-nextest`, installed on the machine or below `target`.
pub(super) struct Nextest(PathBuf);

impl Nextest {
    /// The runner of the machine, else one of our own, built on first use.
    pub(super) fn find_or_install() -> Result<Self> {
        let tools = repository::target().join("tools");
        let ours = tools.join("bin/cargo-nextest");
        for program in [PathBuf::from("cargo-nextest"), ours.clone()] {
            if works(&program) {
                return Ok(Self(program));
            }
        }
        eprintln!("Installing cargo-nextest {VERSION}");
        command::run(
            command::cargo()
                // Built without optimization: it is built once and runs for seconds.
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--debug",
                    "--version",
                    VERSION,
                    "cargo-nextest",
                    "--root",
                ])
                .arg(&tools),
        )
        .context("installing the test runner")?;
        Ok(Self(ours))
    }

    /// The runner as cargo would call it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg("nextest");
        command::forget_this_package(&mut command);
        command
    }
}

fn works(program: &PathBuf) -> bool {
    Command::new(program)
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
