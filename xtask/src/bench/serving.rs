//! `cargo xtask bench serving`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use berth_local_servers::postgres;

use super::running::Running;
use crate::{command, dev, downloads};

/// What the models are called, and their files without `.onnx`.
const MODELS: [&str; 3] = ["tiny", "minilm", "efficientnet"];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only cases whose name contains this, such as `tiny` or `concurrency 64`.
    #[arg(long, default_value = "")]
    only: String,
    /// Reach runners as on another machine: through the worker, by TLS.
    #[arg(long)]
    apart: bool,
    /// Seconds for each turn in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many rounds.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Also write the rows as JSON lines to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let (onnxruntime, models) = (downloads::onnxruntime()?, downloads::bench_models()?);
    let release = super::build()?;
    let state = tempfile::tempdir().context("making a temporary folder")?;
    let settings = if options.apart {
        apart(&release, &state.path().join("certificates"))?
    } else {
        Vec::new()
    };
    let result = Running::start(&release, state.path(), &settings).and_then(|(berth, _)| {
        let measured = deploy(&release, &berth, &models)
            .and_then(|()| measure(options, &release, &berth, &onnxruntime, &models));
        berth.stop()?;
        measured
    });
    postgres::remove(&state.path().join(dev::DATABASE)).context("removing the database")?;
    result
}

/// Settings by which no socket of this machine is used, with certificates in `folder`.
fn apart(release: &Path, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    command::output(
        Command::new(release.join("berth-bench"))
            .arg("certificates")
            .arg(folder),
    )?;
    let file = |name: &str| folder.join(name).display().to_string();
    Ok(vec![
        ("BERTH_PEERS__LOCAL_SOCKETS", "false".to_owned()),
        ("BERTH_PEERS__LISTEN", "127.0.0.1:0".to_owned()),
        ("BERTH_PEERS__ADDRESS", "127.0.0.1".to_owned()),
        ("BERTH_PEERS__TLS__AUTHORITY_FILE", file("ca.crt")),
        ("BERTH_PEERS__TLS__CERTIFICATE_FILE", file("tls.crt")),
        ("BERTH_PEERS__TLS__KEY_FILE", file("tls.key")),
    ])
}

fn deploy(release: &Path, berth: &Running, models: &Path) -> Result<()> {
    let cli = |arguments: &[&str]| {
        let mut command = Command::new(release.join("berth"));
        command
            .args(arguments)
            .env("BERTH_URL", &berth.address)
            .env("BERTH_API_KEY", &berth.api_key)
            .env("BERTH_ORGANIZATION", &berth.organization)
            .env("BERTH_PROJECT", &berth.project);
        command::output(&mut command)
    };
    for name in MODELS {
        let path = models.join(format!("{name}.onnx"));
        let path = path.to_str().context("a path that is no text")?;
        cli(&["models", "push", "--name", name, "--wait", path])?;
        cli(&["deployments", "create", name])?;
    }
    Ok(())
}

fn measure(
    options: &Options,
    release: &Path,
    berth: &Running,
    onnxruntime: &Path,
    models: &Path,
) -> Result<()> {
    let mut bench = super::measurement("serving", release, berth, onnxruntime);
    bench
        .args(["--only", &options.only])
        .args(["--rounds", &options.rounds.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .arg("--models")
        .arg(models);
    if let Some(path) = &options.json {
        bench.arg("--json").arg(path);
    }
    command::run(&mut bench)
}
