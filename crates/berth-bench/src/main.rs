#![doc = include_str!("../README.md")]

mod bare;
mod embeddings;
mod http;
mod processes;
mod report;
mod statistics;

use clap::{Parser, Subcommand};

/// Benchmarks of Berth; `cargo xtask bench` starts what they measure.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// What `/v1/embeddings` adds to tokenization and the bare session at concurrency 1.
    Embeddings(embeddings::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().benchmark {
        Benchmark::Embeddings(options) => embeddings::run(&options),
    }
}
