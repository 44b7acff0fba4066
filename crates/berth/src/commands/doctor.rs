//! `berth doctor`: looks at an installation from inside.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use berth_artifacts::Staging;
use berth_artifacts::store::ArtifactStore;
use berth_config::{Config, Process};
use berth_coordination::{Coordination, Fleet};
use berth_queue::Queue;
use berth_serving::gate::{self, Gate};
use berth_store::Store;
use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use crate::node::start::Settings;
use crate::node::{foundation, options, tasks};
use crate::output::{self, Format, Table};

/// Connect to everything that the settings name, and say what holds.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The process whose surroundings are looked at: api, tasks or admin. Can be given several times.
    #[arg(long = "for", value_name = "PROCESS", default_values = ["api", "tasks"])]
    processes: Vec<Process>,
    #[command(flatten)]
    settings: Settings,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// What was found out about one part.
struct Finding {
    part: &'static str,
    holds: bool,
    words: String,
}

/// Runs the command.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        processes,
        settings,
        output,
    } = arguments;
    let mut findings = Vec::new();
    for &process in &processes {
        let config = settings.read(process)?;
        look(process, &config, &mut findings).await;
    }
    let json: Value = findings.iter().map(Finding::json).collect();
    output::show(output, &json, || table(&findings))?;
    let failed = findings.iter().filter(|finding| !finding.holds).count();
    anyhow::ensure!(failed == 0, "{failed} of {} parts do not hold", findings.len());
    Ok(())
}

/// Looks at what `process` needs; what was looked at for another process is not looked at again.
async fn look(process: Process, config: &Config, findings: &mut Vec<Finding>) {
    find(findings, "postgres", postgres(config)).await;
    if matches!(process, Process::Api | Process::Tasks) {
        find(findings, "redis", redis(config)).await;
        find(findings, "artifacts", artifacts(config)).await;
    }
    if process == Process::Api {
        find(findings, "keys", std::future::ready(keys(config))).await;
        find(findings, "staging", staging(config)).await;
        find(findings, "gate", gate(config)).await;
    }
    if process == Process::Tasks {
        find(findings, "rabbitmq", rabbitmq(config)).await;
        find(findings, "workers", workers(config)).await;
    }
}

async fn find(
    findings: &mut Vec<Finding>,
    part: &'static str,
    look: impl Future<Output = anyhow::Result<String>>,
) {
    if findings.iter().any(|finding| finding.part == part) {
        return;
    }
    findings.push(match look.await {
        Ok(words) => Finding {
            part,
            holds: true,
            words,
        },
        Err(error) => Finding {
            part,
            holds: false,
            words: format!("{error:#}"),
        },
    });
}

async fn postgres(config: &Config) -> anyhow::Result<String> {
    let store = Store::connect(&options::store(config)?).await?;
    store.check().await?;
    store.close().await;
    Ok("both roles are bound by row security, and the schema is that of this release".to_owned())
}

async fn redis(config: &Config) -> anyhow::Result<String> {
    let coordination = foundation::redis(config)?;
    coordination.check().await?;
    Ok(format!("answers; keys begin with `{}`", config.redis.prefix))
}

async fn rabbitmq(config: &Config) -> anyhow::Result<String> {
    let queue: Arc<dyn Queue> = tasks::amqp(config)?;
    queue.check().await?;
    Ok(format!(
        "takes messages; queues begin with `{}`",
        config.amqp.prefix
    ))
}

async fn artifacts(config: &Config) -> anyhow::Result<String> {
    let store = ArtifactStore::open(&options::artifacts(config)?).await?;
    store.check().await?;
    let folder = config.artifacts.folder.as_deref().map(Path::display);
    Ok(folder.map_or_else(
        || "the bucket answers".to_owned(),
        |folder| format!("`{folder}` can be used"),
    ))
}

fn keys(config: &Config) -> anyhow::Result<String> {
    options::peppers(config)?;
    options::signing_keys(config)?;
    let (peppers, keys) = (config.auth.peppers.len(), config.auth.signing_keys.len());
    Ok(format!("peppers: {peppers}; signing keys: {keys}"))
}

async fn staging(config: &Config) -> anyhow::Result<String> {
    let folder = config.artifacts.staging_folder();
    let staging = Staging::open(&folder).await?;
    let mut upload = staging.begin(1).await?;
    upload.write(Bytes::from_static(b"x")).await?;
    upload.finish().await?;
    Ok(format!("`{}` can be written", folder.display()))
}

/// Shows the gate something that is no model: it must refuse it, from inside its sandbox.
async fn gate(config: &Config) -> anyhow::Result<String> {
    let staging = Staging::open(config.artifacts.staging_folder()).await?;
    let mut upload = staging.begin(64).await?;
    upload.write(Bytes::from_static(b"This is no model.")).await?;
    let staged = upload.finish().await?;
    let folder = staging.work_folder().await?;
    match Gate::new(options::gate(config)?)
        .inspect(&staged, "nothing.onnx", folder.path())
        .await
    {
        Err(gate::Error::Refused(_)) => Ok("judges uploads in its sandbox".to_owned()),
        Err(error) => Err(error).context("the gate cannot judge uploads"),
        Ok(_) => anyhow::bail!("the gate takes what is no model"),
    }
}

async fn workers(config: &Config) -> anyhow::Result<String> {
    let coordination: Arc<dyn Coordination> = foundation::redis(config)?;
    let workers = Fleet::new(coordination).workers().await?;
    anyhow::ensure!(!workers.is_empty(), "no worker has announced itself");
    let names: Vec<_> = workers.iter().map(|worker| worker.hostname.as_str()).collect();
    Ok(format!("{}: {}", names.len(), names.join(", ")))
}

impl Finding {
    fn json(&self) -> Value {
        json!({ "part": self.part, "holds": self.holds, "words": self.words })
    }
}

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new(&["part", "", "words"]);
    for Finding { part, holds, words } in findings {
        let mark: &dyn Display = if *holds { &"holds" } else { &"FAILS" };
        table.push(&[part, mark, words]);
    }
    table
}
