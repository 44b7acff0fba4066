//! Files of the repository that are written by programs.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{build, command, repository};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail when what is committed differs.
    #[arg(long)]
    pub(crate) check: bool,
}

/// What `berth` prints, and where it is committed.
const SETTINGS: [(&str, &str); 2] = [
    ("default", "docs/berth.default.toml"),
    ("schema", "docs/berth.schema.json"),
];

/// `cargo xtask protocol`: the Rust code of the protocol files.
pub(crate) fn protocol(arguments: &Arguments) -> Result<()> {
    let mut cargo = command::cargo();
    cargo
        .args(["run", "--quiet", "-p", "berth-protocol", "--features", "generate"])
        .args(["--bin", "generate-protocol", "--"])
        .args(arguments.check.then_some("--check"));
    command::run(&mut cargo)
}

/// `cargo xtask settings`: the commented default file and the schema of the settings.
pub(crate) fn settings(arguments: &Arguments) -> Result<()> {
    let berth = build::programs_for_tests()?.berth;
    let mut old = Vec::new();
    for (name, path) in SETTINGS {
        let fresh = command::output(Command::new(&berth).args(["config", name]))?;
        if !arguments.bring(path, &fresh)? {
            old.push(path);
        }
    }
    if !old.is_empty() {
        bail!("{} not fresh: run `cargo xtask settings`", old.join(", "));
    }
    Ok(())
}

impl Arguments {
    /// Writes `fresh` to `path` where it differs from what is there, or tells (`false`) that it does when nothing may be
    /// changed.
    pub(crate) fn bring(&self, path: &str, fresh: &str) -> Result<bool> {
        let committed = repository::root().join(path);
        if fs::read_to_string(&committed).is_ok_and(|text| text == fresh) {
            return Ok(true);
        }
        if self.check {
            return Ok(false);
        }
        fs::write(&committed, fresh).with_context(|| format!("writing `{path}`"))?;
        println!("{path} written");
        Ok(true)
    }
}
