//! Writes `src/generated` from the `.proto` files, or says with `--check` that it is stale.

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, bail};

/// `.proto` files, and what is generated from each.
type Files = &'static [(&'static str, &'static str)];

/// The folders of crates with `.proto` files, the files, and what is generated from each.
const CRATES: [(&str, Files, Kind); 2] = [
    (
        ".",
        &[
            ("berth/runner/v1/runner.proto", "berth.runner.v1.rs"),
            ("berth/worker/v1/worker.proto", "berth.worker.v1.rs"),
        ],
        Kind::Services,
    ),
    (
        "../berth-wire",
        &[
            ("inference.proto", "inference.rs"),
            ("grpc/health/v1/health.proto", "grpc.health.v1.rs"),
        ],
        Kind::Messages,
    ),
];

/// What is generated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Messages, clients and servers.
    Services,
    /// Messages alone.
    Messages,
}

fn main() -> anyhow::Result<()> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: generate-protocol [--check]"),
    };
    for (folder, files, kind) in CRATES {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        write(&root, files, kind, check)?;
    }
    Ok(())
}

/// Writes what belongs to the crate in `root`, or compares it.
fn write(root: &Path, files: &[(&str, &str)], kind: Kind, check: bool) -> anyhow::Result<()> {
    let fresh = tempfile::tempdir().context("no temporary folder")?;
    generate(&root.join("proto"), files, kind, fresh.path())?;
    for (_, name) in files {
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

fn generate(proto: &Path, files: &[(&str, &str)], kind: Kind, out: &Path) -> anyhow::Result<()> {
    let descriptors = protox::compile(files.iter().map(|(file, _)| file), [proto])
        .context("the proto files do not compile")?;
    tonic_prost_build::configure()
        .build_client(kind == Kind::Services)
        .build_server(kind == Kind::Services)
        // Bodies and tensors are passed on without a copy.
        .bytes(".berth.runner.v1.InferRequest.body")
        .bytes(".berth.runner.v1.InferResponse.body")
        .bytes(".inference")
        .btree_map(".inference")
        .out_dir(out)
        .compile_fds(descriptors)
        .context("no code can be generated")
}
