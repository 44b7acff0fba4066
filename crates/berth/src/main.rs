//! `berth`: the control plane of Berth (`api`, `tasks`, `dev`, `gate`, `migrate`, `admin`) and the client of its API.

mod client;
mod commands;
#[cfg(test)]
mod documents;
mod exit;
mod node;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    admin, api, config, deployments, dev, doctor, embed, explain, gate, infer, keys, login, migrate, models,
    openapi, organizations, password, projects, tasks,
};

/// Serves models as an API to many tenants, from machines you own.
#[derive(Debug, Parser)]
#[command(name = "berth", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Arguments),
    Api(api::Arguments),
    Tasks(tasks::Arguments),
    Gate(gate::Arguments),
    Migrate(migrate::Arguments),
    Admin(admin::Arguments),
    Config(config::Arguments),
    Openapi(openapi::Arguments),
    Doctor(doctor::Arguments),
    Login(login::LoginArguments),
    Logout(login::LogoutArguments),
    Whoami(login::WhoamiArguments),
    Password(password::Arguments),
    Organizations(organizations::Arguments),
    Projects(projects::Arguments),
    Keys(keys::Arguments),
    Models(models::Arguments),
    Deployments(deployments::Arguments),
    Embed(embed::Arguments),
    Explain(explain::Arguments),
    Infer(infer::Arguments),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(format_args!("berth: {error:#}"));
            exit::code_of(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Config(arguments) => config::run(&arguments),
        Command::Openapi(arguments) => openapi::run(&arguments),
        // Enters the sandbox, which has to happen before there are threads.
        Command::Gate(arguments) => gate::run(&arguments),
        command => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(run_async(command))
        }
    }
}

async fn run_async(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Config(arguments) => config::run(&arguments),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Gate(arguments) => gate::run(&arguments),
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Api(arguments) => api::run(arguments).await,
        Command::Tasks(arguments) => tasks::run(arguments).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
        Command::Admin(arguments) => admin::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Login(arguments) => login::login(arguments).await,
        Command::Logout(arguments) => login::logout(arguments).await,
        Command::Whoami(arguments) => login::whoami(arguments).await,
        Command::Password(arguments) => password::run(arguments).await,
        Command::Organizations(arguments) => organizations::run(arguments).await,
        Command::Projects(arguments) => projects::run(arguments).await,
        Command::Keys(arguments) => keys::run(arguments).await,
        Command::Models(arguments) => models::run(arguments).await,
        Command::Deployments(arguments) => deployments::run(arguments).await,
        Command::Embed(arguments) => embed::run(arguments).await,
        Command::Explain(arguments) => explain::run(arguments).await,
        Command::Infer(arguments) => infer::run(arguments).await,
    }
}
