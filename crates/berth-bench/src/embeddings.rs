//! What `/v1/embeddings` adds to tokenization and the bare session, at concurrency 1.
//!
//! Berth's processes and the bare loop run on core 0, the client on core 1. They take turns of half a second, so that
//! whatever else this machine does slows both.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use ort::environment::Environment;

use crate::bare::{self, BareEmbedder};
use crate::http::Connection;
use crate::pinning::pin;
use crate::report::{self, Aim, Row};
use crate::statistics::{estimate, quantile};
use crate::{memory, processes};

const BENCH: &str = "embeddings";

/// Where the parts are, and how long to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `host:port` of a running Berth whose processes are pinned to core 0.
    #[arg(long)]
    address: String,
    /// An API key for it.
    #[arg(long, env = "BERTH_API_KEY", hide_env_values = true)]
    key: String,
    /// The deployment's name.
    #[arg(long, default_value = "all-minilm-l6-v2")]
    model: String,
    /// Process id whose family's CPU time counts as Berth's.
    #[arg(long)]
    pid: u32,
    /// Process id of a `berth api` that has served nothing.
    #[arg(long)]
    api_pid: Option<u32>,
    /// The ONNX Runtime library that the runner uses too.
    #[arg(long)]
    onnxruntime: PathBuf,
    /// Folder with the model's `model.onnx` and `tokenizer.json`.
    #[arg(long)]
    folder: PathBuf,
    /// How many rounds; each gives one figure of a kind.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds for each of the two in a round.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Also write the rows as JSON lines to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// How long one of the two runs before the other has its turn.
const TURN: Duration = Duration::from_millis(500);

const TEXTS: [(&str, &str); 2] = [
    ("short, 9 tokens", "A man is playing a guitar."),
    (
        "35 words",
        "The committee met on Tuesday to consider the proposal, and after a long discussion about costs, risks and the \
         expected benefits for the people of the region, it decided to postpone the final vote until spring.",
    ),
];

/// Measures and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let environment = bare::runtime(&options.onnxruntime)?;
    let mut rows = Vec::new();
    for (case, text) in TEXTS {
        rows.extend(measure(options, &environment, case, text)?);
    }
    let texts = TEXTS.iter().map(|(_, text)| (*text).to_owned()).collect();
    let bare = memory::Options::new(options.onnxruntime.clone(), options.folder.clone(), texts);
    rows.extend(memory::rows(BENCH, options.pid, options.api_pid, &bare)?);
    report::write(&rows, options.json.as_deref())
}

fn measure(options: &Options, environment: &Environment, case: &str, text: &str) -> Result<Vec<Row>> {
    pin(0)?;
    let mut bare = BareEmbedder::load(environment, &options.folder)?;
    let mut connection = Connection::open(&options.address, "/v1/embeddings", &options.key)?;
    let body =
        serde_json::json!({ "model": options.model, "input": text, "encoding_format": "base64" }).to_string();

    let mut figures: [Vec<f64>; 7] = Default::default();
    let turns = u128::from(options.seconds) * 1000 / TURN.as_millis();
    // One turn of each first, so that caches and clocks are warm.
    time(TURN, &mut Vec::new(), || bare.embed(text).map(drop))?;
    time(TURN, &mut Vec::new(), || connection.post(&body).map(drop))?;
    for _ in 0..options.rounds {
        let (mut alone, mut served, mut cpu_us) = (Vec::new(), Vec::new(), 0);
        for _ in 0..turns {
            pin(0)?;
            time(TURN, &mut alone, || bare.embed(text).map(drop))?;
            pin(1)?;
            let before = processes::cpu_us(options.pid)?;
            time(TURN, &mut served, || connection.post(&body).map(drop))?;
            cpu_us += processes::cpu_us(options.pid)? - before;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a round")]
        let cpu_each = cpu_us as f64 / served.len() as f64;
        let (p50, p99) = (quantile(&mut alone, 0.5), quantile(&mut alone, 0.99));
        let (served_p50, served_p99) = (quantile(&mut served, 0.5), quantile(&mut served, 0.99));
        let values = [
            p50,
            p99,
            served_p50,
            served_p99,
            served_p50 - p50,
            served_p99 - p99,
            cpu_each / 1000.0,
        ];
        figures
            .iter_mut()
            .zip(values)
            .for_each(|(figure, value)| figure.push(value));
    }
    let metrics = [
        ("bare p50", None),
        ("bare p99", None),
        ("Berth p50", None),
        ("Berth p99", None),
        ("added p50", Some(Aim::AtMost(1.0))),
        ("added p99", None),
        ("CPU of all Berth processes, each request", None),
    ];
    Ok(metrics
        .into_iter()
        .zip(&figures)
        .map(|((metric, aim), figure)| Row::new(BENCH, case, metric, estimate(figure), "ms", aim))
        .collect())
}

/// Calls `work` for `length` and adds how long each call took, in milliseconds, to `samples`.
fn time(length: Duration, samples: &mut Vec<f64>, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + length;
    loop {
        let start = Instant::now();
        work()?;
        samples.push(start.elapsed().as_secs_f64() * 1000.0);
        if Instant::now() >= end {
            return Ok(());
        }
    }
}
