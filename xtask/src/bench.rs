//! `cargo xtask bench`: starts what a benchmark measures, and lets `berth-bench` measure it.

mod idle_api;
mod running;
mod serving;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use berth_local_servers::postgres;

use self::idle_api::IdleApi;
use self::running::Running;
use crate::{command, dev, downloads, repository};

#[derive(clap::Subcommand)]
pub(crate) enum Benchmark {
    /// What `/v1/embeddings` adds to tokenization and the bare session at concurrency 1; sizes and start times.
    Embeddings(Embeddings),
    /// Three models through Berth, a minimal server and bare ONNX Runtime, at several numbers of connections.
    Serving(serving::Options),
}

#[derive(clap::Args)]
pub(crate) struct Embeddings {
    /// Seconds in a round.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many rounds of each kind.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Also write the rows as JSON lines to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs one benchmark.
pub(crate) fn run(benchmark: &Benchmark) -> Result<()> {
    match benchmark {
        Benchmark::Embeddings(options) => embeddings(options),
        Benchmark::Serving(options) => serving::run(options),
    }
}

fn embeddings(options: &Embeddings) -> Result<()> {
    let (onnxruntime, model) = (downloads::onnxruntime()?, downloads::minilm()?);
    let release = build()?;
    for name in ["berth", "berth-worker"] {
        let size = fs::metadata(release.join(name))
            .with_context(|| format!("looking at `{name}`"))?
            .len();
        println!("{name}: {:.1} MB", megabytes(size));
    }

    let state = tempfile::tempdir().context("making a temporary folder")?;
    let result = first_and_second_start(&release, state.path()).and_then(|berth| {
        let idle = IdleApi::start(&release)?;
        let measured = measure(options, &release, &berth, &idle, &onnxruntime, &model);
        idle.stop()?;
        berth.stop()?;
        measured
    });
    postgres::remove(&state.path().join(dev::DATABASE)).context("removing the database")?;
    result
}

fn measure(
    options: &Embeddings,
    release: &Path,
    berth: &Running,
    idle: &IdleApi,
    onnxruntime: &Path,
    model: &Path,
) -> Result<()> {
    let mut bench = measurement("embeddings", release, berth, onnxruntime);
    bench
        .args(["--model", &berth.model, "--api-pid", &idle.pid().to_string()])
        .args(["--rounds", &options.rounds.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .arg("--folder")
        .arg(model);
    if let Some(path) = &options.json {
        bench.arg("--json").arg(path);
    }
    command::run(&mut bench)
}

/// The program that measures, asked for `benchmark` of what runs.
fn measurement(benchmark: &str, release: &Path, berth: &Running, onnxruntime: &Path) -> Command {
    let mut bench = Command::new(release.join("berth-bench"));
    bench
        .args([
            benchmark,
            "--address",
            berth.address.trim_start_matches("http://"),
        ])
        .args(["--pid", &berth.process.pid().to_string()])
        .arg("--onnxruntime")
        .arg(onnxruntime)
        // The official library reports to its makers unless it is told not to before it is loaded.
        .env("ORT_DISABLE_TELEMETRY", "1")
        .env("BERTH_API_KEY", &berth.api_key);
    bench
}

/// Starts a fresh Berth, ends it, and starts it again over the same state.
fn first_and_second_start(release: &Path, state: &Path) -> Result<Running> {
    let (first, took) = Running::start(release, state, &[])?;
    println!("first start to first answer: {:.1} s", took.as_secs_f64());
    first.stop()?;
    let (second, took) = Running::start(release, state, &[])?;
    println!("second start to first answer: {:.1} s", took.as_secs_f64());
    Ok(second)
}

/// Builds as it is shipped; returns the folder of the programs.
fn build() -> Result<PathBuf> {
    command::run(command::cargo().args([
        "build",
        "--release",
        "-p",
        "berth",
        "-p",
        "berth-worker",
        "-p",
        "berth-bench",
    ]))?;
    Ok(repository::target().join("release"))
}

#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
