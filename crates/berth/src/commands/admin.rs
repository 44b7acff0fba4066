//! `berth admin`: what whoever holds the installation itself may do, beside any account.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use berth_auth::auth::{Auth, Parts};
use berth_config::{Config, Process};
use berth_coordination::memory::Memory;
use berth_domain::clock::SystemClock;
use berth_domain::name::{Email, Title};
use berth_domain::random::{Random as _, SystemRandom};
use berth_domain::secret::Secret;
use berth_serving::planner::{Rules, simulation};
use berth_store::Store;
use clap::{Args, Subcommand};
use serde_json::json;

use super::login::read_password;
use crate::node::options;
use crate::node::start::Settings;
use crate::output::{self, Format, Table};

/// Set up an installation, and get back into it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    settings: Settings,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the first operator of the installation. Its password is made up and shown once, unless it is given.
    Bootstrap {
        /// The e-mail address to sign in with.
        #[arg(long)]
        email: Email,
        /// What the person is called.
        #[arg(long)]
        name: Option<Title>,
        /// Read the password from the standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Try what the planner would do. Needs no installation.
    #[command(subcommand)]
    Placement(PlacementAction),
    /// Make a one-time link by which the owner of an account sets a new password.
    Recover {
        /// The e-mail address of the account.
        email: Email,
    },
}

#[derive(Debug, Subcommand)]
enum PlacementAction {
    /// Replay a trace of calls on imagined workers (the form of the trace is in docs/operating.md).
    Simulate {
        /// The trace: one JSON object a line.
        trace: PathBuf,
        /// How many workers there are.
        #[arg(long, default_value_t = 1)]
        workers: u32,
        /// Memory that each may use, in bytes.
        #[arg(long, default_value_t = 8 << 30)]
        memory_bytes: u64,
    },
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        action,
        settings,
        output,
    } = arguments;
    let action = match action {
        Action::Placement(PlacementAction::Simulate {
            trace,
            workers,
            memory_bytes,
        }) => {
            let fleet = simulation::Fleet {
                workers,
                memory_bytes,
            };
            return simulate(&trace, fleet, output);
        }
        action => action,
    };
    let config = settings.load(Process::Admin)?;
    let auth = auth(&config).await?;
    match action {
        Action::Bootstrap {
            email,
            name,
            password_stdin,
        } => {
            let given = password_stdin.then(read_password).transpose()?;
            let password = Secret::new(given.clone().unwrap_or_else(made_up_password));
            let user = auth.bootstrap(email.clone(), &password, name).await?;
            let shown = if given.is_some() {
                "the one that was given"
            } else {
                password.expose()
            };
            let json = json!({ "user_id": user, "email": email, "password": given.is_none().then(|| password.expose()) });
            output::show(output, &json, || {
                Table::new(&["operator", "password (shown once)"]).row(&[&email, &shown])
            })?;
        }
        // It was run above, without settings.
        Action::Placement(_) => {}
        Action::Recover { email } => {
            let link = auth.recover_account(&email).await?;
            let token = link.token.as_ref().map(Secret::expose);
            let json = json!({ "email": email, "token": token, "expires_at": link.expires_at });
            output::show(output, &json, || {
                let token = token.unwrap_or("sent by mail");
                Table::new(&["account", "token (shown once)", "works until"]).row(&[
                    &email,
                    &token,
                    &link.expires_at,
                ])
            })?;
        }
    }
    Ok(())
}

fn simulate(trace: &Path, fleet: simulation::Fleet, output: Format) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(trace).with_context(|| format!("reading {}", trace.display()))?;
    let calls = simulation::read(&text).with_context(|| format!("reading {}", trace.display()))?;
    let outcome = simulation::replay(&calls, fleet, &Rules::default());
    output::show(output, &serde_json::to_value(&outcome)?, || {
        Table::new(&[
            "requests",
            "unanswered",
            "loads",
            "evictions",
            "thrash ratio",
            "wait p50 (ms)",
            "wait p99 (ms)",
            "longest wait (ms)",
            "peak (bytes)",
        ])
        .row(&[
            &outcome.requests,
            &outcome.unanswered,
            &outcome.loads,
            &outcome.evictions,
            &outcome.thrash_ratio,
            &outcome.wait_p50_ms,
            &outcome.wait_p99_ms,
            &outcome.wait_max_ms,
            &outcome.peak_bytes,
        ])
    })?;
    Ok(())
}

async fn auth(config: &Config) -> anyhow::Result<Auth> {
    let store = Store::connect(&options::store(config)?)
        .await
        .context("connecting to Postgres")?;
    let parts = Parts {
        store,
        // Neither action throttles or announces anything to other processes.
        coordination: Arc::new(Memory::new()),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        peppers: options::peppers(config)?,
        signing_keys: options::signing_keys(config)?,
    };
    Ok(Auth::new(options::auth(config)?, parts)?)
}

/// A password of 128 random bits.
pub(crate) fn made_up_password() -> String {
    let number = u128::from_be_bytes(SystemRandom.bytes());
    format!("{number:032x}")
}
