//! Writes `src/generated` from the `.proto` files, or says with `--check` that it is stale.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, bail};

/// The `.proto` files and the file that is generated from each.
const FILES: [(&str, &str); 2] = [
    ("berth/runner/v1/runner.proto", "berth.runner.v1.rs"),
    ("berth/worker/v1/worker.proto", "berth.worker.v1.rs"),
];

fn main() -> anyhow::Result<()> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: generate-protocol [--check]"),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().context("no temporary folder")?;
    generate(&root.join("proto"), fresh.path())?;
    for (_, name) in FILES {
        let text = fs::read_to_string(fresh.path().join(name))
            .with_context(|| format!("{name} was not generated"))?;
        let committed = root.join("src/generated").join(name);
        if !check {
            fs::write(&committed, text).with_context(|| format!("cannot write {}", committed.display()))?;
        } else if fs::read_to_string(&committed).ok().as_deref() != Some(&text) {
            bail!(
                "{} is stale: run `cargo run -p berth-protocol --features generate --bin generate-protocol`",
                committed.display()
            );
        }
    }
    Ok(())
}

fn generate(proto: &Path, out: &Path) -> anyhow::Result<()> {
    let descriptors =
        protox::compile(FILES.map(|(file, _)| file), [proto]).context("the proto files do not compile")?;
    tonic_prost_build::configure()
        // Bodies are passed on without a copy.
        .bytes(".berth.runner.v1.InferRequest.body")
        .bytes(".berth.runner.v1.InferResponse.body")
        .out_dir(out)
        .compile_fds(descriptors)
        .context("no code can be generated")
}
