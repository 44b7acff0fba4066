//! `cargo xtask bench`: starts what a benchmark measures, and lets `berth-bench` measure it.

mod idle_api;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use berth_local_servers::postgres;
use berth_local_servers::process::ServerProcess;
use rustix::process::Signal;
use serde_json::Value;

use self::idle_api::IdleApi;
use crate::{command, dev, downloads, interrupt, repository};

/// How long the first start may take: it makes a database and proves a model.
const START_LIMIT: Duration = Duration::from_mins(5);

#[derive(clap::Subcommand)]
pub(crate) enum Benchmark {
    /// What `/v1/embeddings` adds to tokenization and the bare session at concurrency 1; sizes and start times.
    Embeddings(Embeddings),
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
    let mut bench = Command::new(release.join("berth-bench"));
    bench
        .args([
            "embeddings",
            "--address",
            berth.address.trim_start_matches("http://"),
        ])
        .args(["--model", &berth.model, "--pid", &berth.process.pid().to_string()])
        .args(["--api-pid", &idle.pid().to_string()])
        .args([
            "--rounds",
            &options.rounds.to_string(),
            "--seconds",
            &options.seconds.to_string(),
        ])
        .arg("--onnxruntime")
        .arg(onnxruntime)
        .arg("--folder")
        .arg(model)
        // The official library reports to its makers unless it is told not to before it is loaded.
        .env("ORT_DISABLE_TELEMETRY", "1")
        .env("BERTH_API_KEY", &berth.api_key);
    if let Some(path) = &options.json {
        bench.arg("--json").arg(path);
    }
    command::run(&mut bench)
}

/// Starts a fresh Berth, ends it, and starts it again over the same state.
fn first_and_second_start(release: &Path, state: &Path) -> Result<Running> {
    let (first, took) = Running::start(release, state)?;
    println!("first start to first answer: {:.1} s", took.as_secs_f64());
    first.stop()?;
    let (second, took) = Running::start(release, state)?;
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

/// A `berth dev` that has answered, with all its processes on core 0.
struct Running {
    process: ServerProcess,
    address: String,
    api_key: String,
    model: String,
}

impl Running {
    /// Starts it and waits for the line that it writes once its demo model has answered.
    fn start(release: &Path, state: &Path) -> Result<(Self, Duration)> {
        let path = state.join("output");
        let log = File::create(&path).context("making a file for the output")?;
        let begin = Instant::now();
        // What `taskset` starts inherits the core; it becomes the program, so the process id is Berth's.
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(release.join("berth"));
        dev::add_arguments(&mut command, state, 0, &release.join("berth-worker"))?;
        command.arg("--json");
        let mut process = ServerProcess::spawn(&mut command, &log, Signal::TERM)?;
        loop {
            interrupt::check()?;
            let status = process.exit_status()?;
            let output = fs::read_to_string(&path).context("reading the output")?;
            if let Some(line) = output
                .lines()
                .find_map(|line| serde_json::from_str::<Value>(line).ok())
            {
                let took = begin.elapsed();
                let [address, api_key, model] = ["address", "api_key", "model"].map(|name| text(&line, name));
                return Ok((
                    Self {
                        process,
                        address: address?,
                        api_key: api_key?,
                        model: model?,
                    },
                    took,
                ));
            }
            if let Some(status) = status {
                bail!("`berth dev` ended ({status}); it wrote:\n{output}");
            }
            if begin.elapsed() > START_LIMIT {
                bail!(
                    "`berth dev` did not answer within {} s; it wrote:\n{output}",
                    START_LIMIT.as_secs()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(mut self) -> Result<()> {
        Ok(self.process.stop(&[(Signal::INT, Duration::from_secs(30))])?)
    }
}

fn text(line: &Value, name: &str) -> Result<String> {
    let value = line.get(name).and_then(Value::as_str);
    value
        .map(str::to_owned)
        .with_context(|| format!("the line of `berth dev` has no text `{name}`"))
}

#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
