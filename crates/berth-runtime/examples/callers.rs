//! How a model answers callers who ask again when they are answered: `callers LIBRARY FOLDER BODY SECONDS`.
//!
//! `FOLDER` holds the model and its manifest as `berth.json`; `BODY` is a file with a request, of embeddings if the model embeds
//! texts and else of the Open Inference Protocol. Prints a line for each number of callers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use berth_domain::clock::SystemClock;
use berth_domain::manifest::Manifest;
use berth_inference::onnx_runtime::OnnxRuntime;
use berth_protocol::runner::{InferRequest, Operation};
use berth_runtime::{Options, Runtime};
use tokio::task::JoinSet;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [library, folder, body, seconds] = arguments.as_slice() else {
        anyhow::bail!("say: callers LIBRARY FOLDER BODY SECONDS");
    };
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(folder.join("berth.json"))?)?;
    let length = Duration::from_secs(seconds.to_str().context("a number of seconds")?.parse()?);
    let library = OnnxRuntime::open(library)?;
    let runtime = Runtime::load(
        &library,
        folder,
        &manifest,
        &Options::default(),
        Arc::new(SystemClock),
    )?;
    let operation = if runtime.embeds_texts() {
        Operation::Embeddings
    } else {
        Operation::OipInfer
    };
    let request = InferRequest {
        operation: operation.into(),
        body: std::fs::read(body)?.into(),
        ..InferRequest::default()
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            for callers in [1, 8, 64] {
                measure(&runtime, &request, callers, length).await?;
            }
            Ok(())
        })
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
async fn measure(
    runtime: &Runtime,
    request: &InferRequest,
    callers: usize,
    length: Duration,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (runtime, request) = (runtime.clone(), request.clone());
        running.spawn(async move {
            let mut answers = Vec::new();
            while begun.elapsed() < length {
                let asked = Instant::now();
                let answer = runtime.infer(request.clone()).await;
                answers.push((asked.elapsed(), answer.batch_requests, answer.failure));
            }
            answers
        });
    }
    let answers = running.join_all().await.concat();
    let took = begun.elapsed();
    if let Some((_, _, Some(failure))) = answers.iter().find(|(_, _, failure)| failure.is_some()) {
        ensure!(false, "a request failed: {}", failure.message);
    }
    let mut waits: Vec<Duration> = answers.iter().map(|(wait, _, _)| *wait).collect();
    waits.sort_unstable();
    let at = |hundredths: usize| waits[(waits.len() - 1) * hundredths / 100];
    let company: u64 = answers.iter().map(|(_, requests, _)| u64::from(*requests)).sum();
    println!(
        "{callers:>3} callers: {:>9.1}/s, p50 {:>10.1?}, p99 {:>10.1?}, {:>5.1} requests to a run, at most {}",
        answers.len() as f64 / took.as_secs_f64(),
        at(50),
        at(99),
        company as f64 / answers.len() as f64,
        runtime.stats().batch_weight,
    );
    Ok(())
}
