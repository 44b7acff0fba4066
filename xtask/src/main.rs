//! The one door to everything that is done with this repository: `cargo xtask <command>`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its terminal"
)]

mod bench;
mod build;
mod ci;
mod command;
mod dev;
mod downloads;
mod generated;
mod interrupt;
mod openapi;
mod repository;
mod servers;
mod sqlx;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "The one door to everything that is done with this repository."
)]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Get what is missing, build, and start everything on this machine with a model that answers.
    Dev(dev::Arguments),
    /// Run the whole suite against real Postgres, Redis and RabbitMQ.
    Test(test::Arguments),
    /// Check everything that a change has to pass.
    Ci,
    /// Check the rules that the compiler does not hold: floors, names, paths in documents, sizes.
    Tidy,
    /// Run the tests that break things and take long, for a given time.
    Soak(test::SoakArguments),
    /// Measure, and print the tables.
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// Download what development and tests need, and print where it lies.
    Fetch,
    /// Start private Postgres, Redis and RabbitMQ servers and print the variables that lead tests to them.
    ///
    /// They run until Ctrl-C. Tests of single crates can then be run by hand as often as wanted.
    Servers(servers::Arguments),
    /// Write the query data of the store by compiling it against a migrated database.
    Sqlx(sqlx::Arguments),
    /// Write the Rust code of the protocol files.
    Protocol(generated::Arguments),
    /// Write the commented default file and the schema of the settings.
    Settings(generated::Arguments),
    /// Write the description of the API, and have it judged.
    Openapi(generated::Arguments),
}

fn main() -> ExitCode {
    match run(Xtask::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    interrupt::install()?;
    match task {
        Task::Dev(arguments) => dev::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Ci => ci::run(),
        Task::Tidy => tidy::run(),
        Task::Soak(arguments) => test::soak(&arguments),
        Task::Bench(benchmark) => bench::run(&benchmark),
        Task::Fetch => downloads::fetch(),
        Task::Servers(arguments) => servers::serve(&arguments),
        Task::Sqlx(arguments) => sqlx::run(&arguments),
        Task::Protocol(arguments) => generated::protocol(&arguments),
        Task::Settings(arguments) => generated::settings(&arguments),
        Task::Openapi(arguments) => openapi::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_in_the_table_of_the_developers() {
        let table = fs::read_to_string(repository::root().join("docs/development.md")).expect("is there");
        for command in Xtask::command().get_subcommands() {
            let row = format!("| `cargo xtask {}", command.get_name());
            assert!(table.contains(&row), "no row begins with {row}");
        }
    }
}
