#![doc = include_str!("../README.md")]

mod runner;

mod doctor;
mod launcher;
mod machine;
mod measure;
mod node;
mod resident;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Holds models and runs them.
#[derive(Debug, Parser)]
#[command(name = "berth-worker", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Joins the fleet and holds the models that are assigned to this machine.
    Node(node::Arguments),
    /// Says what this machine offers: library, devices, memory, sandbox.
    Doctor(doctor::Arguments),
    /// Tries one thing that the sandbox must stop; started by `doctor --sandbox`.
    #[command(hide = true)]
    Attempt(doctor::attempts::Arguments),
    /// Holds one model; started by `node`.
    #[command(hide = true)]
    Runner(runner::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Node(arguments) => node::main(arguments),
        Command::Doctor(arguments) => doctor::main(&arguments),
        Command::Attempt(arguments) => doctor::attempts::attempt(&arguments),
        Command::Runner(arguments) => return runner::main(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Reads the settings of a worker.
fn settings(file: Option<PathBuf>) -> anyhow::Result<berth_config::Config> {
    let source = berth_config::Source::from_process(file);
    Ok(berth_config::load(&source, berth_config::Process::Worker)?)
}

#[expect(clippy::print_stderr, reason = "the last word of a program that fails")]
fn complain(error: &anyhow::Error) {
    eprintln!("berth-worker: {error:#}");
}
