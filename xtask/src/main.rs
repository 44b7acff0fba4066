//! The one door to everything that is done with this repository: `cargo xtask <command>`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its terminal"
)]

mod command;
mod interrupt;
mod repository;
mod servers;
mod sqlx;

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
    /// Start private Postgres, Redis and RabbitMQ servers and print the variables that lead tests to them.
    ///
    /// They run until Ctrl-C. Tests of single crates can then be run by hand as often as wanted.
    Servers(servers::Arguments),
    /// Write the query data of the store by compiling it against a migrated database.
    Sqlx(sqlx::Arguments),
}

fn main() -> anyhow::Result<()> {
    interrupt::install()?;
    match Xtask::parse().task {
        Task::Servers(arguments) => servers::serve(&arguments),
        Task::Sqlx(arguments) => sqlx::run(&arguments),
    }
}
