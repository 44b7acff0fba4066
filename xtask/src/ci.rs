//! `cargo xtask ci`: everything that a change has to pass.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{command, generated, interrupt, openapi, sqlx, test, tidy};

/// Generators change nothing here.
const CHECK: generated::Arguments = generated::Arguments { check: true };

/// Runs all phases, going on after one that failed, so that one run shows everything that is wrong. Shows how long
/// each took.
pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    phases.run("formatting", || cargo(&["fmt", "--all", "--check"]))?;
    phases.run("tidy", tidy::run)?;
    phases.run("clippy", || {
        cargo(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    // The generator is behind a feature that nothing else turns on.
    phases.run("clippy of the generator", || {
        cargo(&[
            "clippy",
            "--quiet",
            "-p",
            "berth-protocol",
            "--features",
            "generate",
            "--bins",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    phases.run("query data", || sqlx::run(&sqlx::Arguments { check: true }))?;
    phases.run("protocol code", || generated::protocol(&CHECK))?;
    phases.run("settings", || generated::settings(&CHECK))?;
    phases.run("description of the API", || openapi::run(&CHECK))?;
    let report = phases.run("tests", || test::measure(&[]))?;
    phases.print();
    // Last, as the line that says how many tests there were and how many failed.
    let tests = report.map(|report| test::conclude(&report));
    let failed = phases.failed();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    tests.unwrap_or(Ok(()))
}

fn cargo(arguments: &[&str]) -> Result<()> {
    command::run(command::cargo().args(arguments))
}

#[derive(Default)]
struct Phases(Vec<Phase>);

struct Phase {
    name: &'static str,
    took: Duration,
    passed: bool,
}

impl Phases {
    /// Runs a phase; its failure is shown and kept. Fails itself only on Ctrl-C.
    fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        println!("\n=== {name}");
        let begin = Instant::now();
        let result = work();
        interrupt::check()?;
        self.0.push(Phase {
            name,
            took: begin.elapsed(),
            passed: result.is_ok(),
        });
        Ok(result.inspect_err(|error| eprintln!("{name}: {error:#}")).ok())
    }

    fn failed(&self) -> Vec<&'static str> {
        self.0
            .iter()
            .filter(|phase| !phase.passed)
            .map(|phase| phase.name)
            .collect()
    }

    fn print(&self) {
        println!("\nThe phases");
        for phase in &self.0 {
            let outcome = if phase.passed { "" } else { "  failed" };
            println!("{:8.1} s  {}{outcome}", phase.took.as_secs_f64(), phase.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_phase_does_not_stop_the_others_and_is_not_forgotten() {
        let mut phases = Phases::default();
        phases
            .run("first", || -> Result<()> { bail!("broken") })
            .expect("goes on");
        let second = phases.run("second", || Ok(7)).expect("goes on");
        assert_eq!(second, Some(7));
        assert_eq!(phases.failed(), ["first"]);
    }
}
