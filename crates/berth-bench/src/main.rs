#![doc = include_str!("../README.md")]

mod bare;
mod certificates;
mod embeddings;
mod http;
mod memory;
mod pinning;
mod processes;
mod report;
mod serving;
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
    /// The private memory of this process after it has embedded as the runner has; a part of `embeddings`.
    BareMemory(memory::Options),
    /// Three models through Berth, a minimal server and the bare runtime.
    Serving(serving::Options),
    /// Certificates for nodes of this machine; a part of `serving`.
    Certificates(certificates::Options),
    /// The minimal server; a part of `serving`.
    Reference(serving::reference::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().benchmark {
        Benchmark::Embeddings(options) => embeddings::run(&options),
        Benchmark::BareMemory(options) => memory::tell(&options),
        Benchmark::Serving(options) => serving::run(&options),
        Benchmark::Certificates(options) => certificates::make(&options),
        Benchmark::Reference(options) => serving::reference::serve(&options),
    }
}
