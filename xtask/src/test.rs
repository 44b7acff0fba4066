//! `cargo xtask test`: the whole suite against real servers.

mod nextest;
mod report;

use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use berth_local_servers::find_program;

pub(crate) use self::report::Report;
use crate::servers::install::Need;
use crate::servers::{self, Servers};
use crate::{build, command, downloads, repository};

/// How many minutes the tests of endurance may take.
const SOAK_MINUTES: &str = "BERTH_SOAK_MINUTES";

/// Decides what breaks in which order.
const CHAOS_SEED: &str = "BERTH_CHAOS_SEED";

/// The tests that `soak` runs: they break things or take long, and do so in small in every ordinary run.
const SOAK_FILTER: &str = "test(chaos) | test(soak)";

/// What leads tests of pages to the browser and to what drives it.
const BROWSER: [(&str, &str); 2] = [
    ("BERTH_TEST_CHROMIUM", "chromium"),
    ("BERTH_TEST_CHROMEDRIVER", "chromedriver"),
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for `cargo nextest run`, such as the name of a test. With any, only these tests run, once.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    nextest: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct SoakArguments {
    /// How long each test of endurance may go on.
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// What decides the order in which things break; without it, a number that is printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// `cargo xtask test`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    conclude(&measure(&arguments.nextest)?)
}

/// Runs a selection of tests, or with none the whole suite, and tells what became of it.
pub(crate) fn measure(selection: &[String]) -> Result<Report> {
    let surroundings = Surroundings::prepare()?;
    let outcome = if selection.is_empty() {
        everything(&surroundings)
    } else {
        surroundings.nextest(&[], selection, &[])
    };
    surroundings.end()?;
    outcome
}

/// `cargo xtask soak`.
pub(crate) fn soak(arguments: &SoakArguments) -> Result<()> {
    let surroundings = Surroundings::prepare()?;
    let seed = arguments.seed.map(|seed| (CHAOS_SEED, seed.to_string()));
    let variables: Vec<_> = [(SOAK_MINUTES, arguments.minutes.to_string())]
        .into_iter()
        .chain(seed)
        .collect();
    let selection = ["-E".to_owned(), SOAK_FILTER.to_owned()];
    let outcome = surroundings.nextest(&["--profile", "soak"], &selection, &variables);
    surroundings.end()?;
    conclude(&outcome?)
}

/// The suite, the examples in the documentation, and the store once more on the newest Postgres.
fn everything(surroundings: &Surroundings) -> Result<Report> {
    let mut report = surroundings.nextest(&[], &[], &[])?;
    report.add(surroundings.examples()?);
    report.add(on_newest_postgres(surroundings)?);
    Ok(report)
}

fn on_newest_postgres(surroundings: &Surroundings) -> Result<Report> {
    let folder = servers::temporary_folder()?;
    let (url, server) =
        servers::start_postgres(Some(downloads::postgres()?), &folder.path().join("postgres"))?;
    println!("\nThe store on PostgreSQL {}", server.installation().version);
    // Of the whole workspace, so that nothing is compiled again with other features.
    let selection = ["-E".to_owned(), "package(berth-store)".to_owned()];
    let report = surroundings.nextest(&[], &selection, &[(servers::DATABASE_URL, url)]);
    server.stop()?;
    report
}

/// Ends with the line that says how many tests passed; fails when one did not.
pub(crate) fn conclude(report: &Report) -> Result<()> {
    report.print_slowest();
    println!("\n{} passed, {} failed", report.passed(), report.failed());
    if report.failed() > 0 || !report.is_clean() {
        bail!("the tests failed");
    }
    Ok(())
}

/// Servers, downloads and programs: everything around the tests.
struct Surroundings {
    servers: Servers,
    variables: Vec<(&'static str, String)>,
    nextest: nextest::Nextest,
}

impl Surroundings {
    /// Downloads while the programs are built, since the one waits for the network and the other for the processor.
    fn prepare() -> Result<Self> {
        let nextest = nextest::Nextest::find_or_install()?;
        // Installs what is missing, which talks to the terminal: before the compiler does.
        let servers = Servers::start(&[Need::Browser])?;
        let (programs, downloaded) = thread::scope(|scope| {
            let downloads = scope.spawn(downloads::test_variables);
            let programs = build::programs_for_tests();
            (
                programs,
                downloads
                    .join()
                    .map_err(|_| anyhow!("the thread that downloads panicked")),
            )
        });
        let programs = programs?;
        let mut variables = servers.variables();
        for (name, path) in downloaded?? {
            variables.push((name, path.display().to_string()));
        }
        for (name, program) in BROWSER {
            let path = find_program(program).with_context(|| format!("looking for `{program}`"))?;
            variables.push((name, path.display().to_string()));
        }
        variables.push(("BERTH_TEST_BIN", programs.berth.display().to_string()));
        variables.push(("BERTH_TEST_WORKER_BIN", programs.worker.display().to_string()));
        Ok(Self {
            servers,
            variables,
            nextest,
        })
    }

    /// Runs a selection of tests, or the whole workspace.
    fn nextest(
        &self,
        options: &[&str],
        selection: &[String],
        further: &[(&'static str, String)],
    ) -> Result<Report> {
        let mut command = self.nextest.command();
        command.arg("run").args(options);
        if !names_packages(selection) {
            command.arg("--workspace");
        }
        let variables = self
            .variables
            .iter()
            .chain(further)
            .map(|(name, value)| (name, value));
        command
            .args(selection)
            .current_dir(repository::root())
            .envs(variables);
        let profile = options
            .iter()
            .skip_while(|option| **option != "--profile")
            .nth(1)
            .unwrap_or(&"default");
        report::of_nextest(&mut command, profile)
    }

    /// Runs the examples in the documentation, which nextest does not know.
    fn examples(&self) -> Result<Report> {
        println!("\nExamples in the documentation");
        let mut command = command::cargo();
        command
            .args(["test", "--quiet", "--workspace", "--doc", "--no-fail-fast"])
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        report::of_doctests(&mut command)
    }

    fn end(self) -> Result<()> {
        self.servers.stop()
    }
}

/// Whether the caller has chosen packages, beside which `--workspace` would be refused or wrong.
fn names_packages(selection: &[String]) -> bool {
    selection.iter().any(|argument| {
        let option = argument.split('=').next().unwrap_or(argument);
        matches!(option, "-p" | "--package" | "--workspace")
            || option.starts_with("-p") && !option.starts_with("--")
    })
}

/// Runs a program to its end and tells whether it succeeded.
fn succeeded(command: &mut Command) -> Result<bool> {
    Ok(command::status(command)?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_of_packages_is_told_from_a_filter() {
        let names =
            |words: &[&str]| names_packages(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(
            names(&["-p", "berth-store"]) && names(&["-pberth-store"]) && names(&["--package=berth-store"])
        );
        assert!(!names(&["revoked_key"]) && !names(&["-E", "test(chaos)"]) && !names(&["--profile", "soak"]));
    }
}
