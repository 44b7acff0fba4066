//! Runs other programs.

use std::env;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{interrupt, repository};

/// How long a program gets to end by itself after Ctrl-C, which the terminal sends to it as well.
const GRACE: Duration = Duration::from_secs(5);

/// Cargo in the repository, as people call it by hand.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(repository::root());
    forget_this_package(&mut cargo);
    cargo
}

/// Leaves out what `cargo run` tells this program about its own package. Build scripts of dependencies watch the same
/// variables, and would run again, with everything that needs them compiled again, whenever a call by hand follows one by
/// this program.
pub(crate) fn forget_this_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let known = name.to_str().unwrap_or_default();
        if known.starts_with("CARGO_PKG_") || known.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
}

/// Runs a program with this terminal; fails when it does, or on Ctrl-C.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a program with this terminal and tells how it ended; fails on Ctrl-C, when the program is gone.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    interrupt::check()?;
    let mut child = command
        .spawn()
        .with_context(|| format!("starting `{}`", line(command)))?;
    let status = wait(&mut child)?;
    interrupt::check()?;
    Ok(status)
}

/// Runs a program and returns what it wrote to its standard output; fails with its errors when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    interrupt::check()?;
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting `{}`", line(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of `{}`", line(command)))
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut interrupted_at: Option<Instant> = None;
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt::requested() {
            let since = *interrupted_at.get_or_insert_with(Instant::now);
            if !asked && since.elapsed() > GRACE {
                asked = true;
                kill_process(Pid::from_child(child), Signal::TERM)?;
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A command as it would be typed, for messages.
pub(crate) fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
