//! What this machine offers.

pub(crate) mod attempts;

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use berth_inference::Provider;
use berth_inference::onnx_runtime::Library;
use serde::{Deserialize, Serialize};

use crate::launcher::LIBRARY_ENVIRONMENT;
use crate::machine;
use crate::runner::{Confinement, SandboxMode};

/// What to look at, and how to tell.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Settings file; `BERTH_CONFIG` names another way.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The ONNX Runtime library, instead of the one that the settings name.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Tries what the sandbox of a runner must stop, and fails when something gets through.
    #[arg(long)]
    sandbox: bool,
    /// Tries the same without a sandbox: to see that the attempts are real.
    #[arg(long, hide = true, requires = "sandbox")]
    open: bool,
    /// How to tell.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What this machine offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) hostname: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_bytes: u64,
    /// What the GPUs are called, in the order in which `worker.device` counts them.
    #[serde(default)]
    pub(crate) gpus: Vec<String>,
    pub(crate) library: PathBuf,
    pub(crate) library_version: String,
    /// Execution providers that the library has, as it names them.
    pub(crate) library_providers: Vec<String>,
    /// Execution providers that this build can use.
    pub(crate) build_providers: Vec<String>,
    /// What the kernel really enforces on a runner.
    pub(crate) sandbox: String,
    /// Whether nothing of the sandbox is missing.
    pub(crate) sandbox_complete: bool,
}

/// Looks and tells. Fails when the library cannot be used, or something gets through the sandbox that is tried.
pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    prepare_environment()?;
    let library = match &arguments.library {
        Some(library) => library.clone(),
        None => crate::settings(arguments.config.clone())?
            .worker
            .onnxruntime_library
            .context("no ONNX Runtime library is configured")?,
    };
    if arguments.sandbox {
        return attempts::main(&library, arguments.open, arguments.output);
    }
    let report = look(library)?;
    let text = match arguments.output {
        Output::Json => serde_json::to_string(&report)?,
        Output::Text => text(&report),
    };
    writeln!(io::stdout(), "{text}").context("nobody reads the report")
}

/// What the library wants to find in the environment has to be there from the start: where it is not, this program begins
/// anew.
fn prepare_environment() -> anyhow::Result<()> {
    if LIBRARY_ENVIRONMENT
        .iter()
        .all(|(name, value)| std::env::var_os(name).is_some_and(|found| found == *value))
    {
        return Ok(());
    }
    let program = std::env::current_exe().context("this program does not find itself")?;
    let arguments = std::env::args_os().skip(1);
    let error = Command::new(program)
        .args(arguments)
        .envs(LIBRARY_ENVIRONMENT)
        .exec();
    Err(error).context("this program cannot be started anew")
}

fn look(path: PathBuf) -> anyhow::Result<Report> {
    let library = Library::load(&path)?;
    let library_version = library.version().to_owned();
    let memory_bytes = machine::memory_bytes().context("the memory of this machine is unknown")?;
    let (hostname, processors, gpus) = (machine::hostname(), machine::processors(), machine::gpus());
    // This process enters the sandbox as a runner does, and so sees what the kernel enforces.
    let confinement = Confinement {
        folder: None,
        library: &path,
        gpu: false,
        memory_bytes: None,
        memory_most_bytes: None,
        mode: SandboxMode::BestEffort,
    };
    let applied = confinement.enter().context("the sandbox cannot be tried")?;
    let runtime = library.start()?;
    let build = Provider::ALL
        .into_iter()
        .filter(|provider| provider.is_compiled_in());
    Ok(Report {
        hostname,
        processor: machine::processor(),
        processors,
        memory_bytes,
        gpus,
        library: path,
        library_version,
        library_providers: runtime.available_providers()?,
        build_providers: build.map(|provider| provider.to_string()).collect(),
        sandbox: applied.to_string(),
        sandbox_complete: applied.landlock_abi.is_some()
            && applied.landlock_complete
            && applied.seccomp
            && applied.capabilities_dropped,
    })
}

fn text(report: &Report) -> String {
    let Report {
        hostname,
        processor,
        processors,
        library_version,
        sandbox,
        ..
    } = report;
    let memory = report.memory_bytes >> 20;
    let library = report.library.display();
    let providers = report.library_providers.join(", ");
    let build = report.build_providers.join(", ");
    let gpus = if report.gpus.is_empty() {
        "none".to_owned()
    } else {
        let numbered = report.gpus.iter().enumerate();
        let numbered: Vec<_> = numbered.map(|(place, gpu)| format!("{place}: {gpu}")).collect();
        numbered.join(", ")
    };
    let complete = if report.sandbox_complete {
        "complete"
    } else {
        "NOT complete: `worker.sandbox = \"best_effort\"` is needed"
    };
    format!(
        "machine     {hostname}: {processors} × {processor}, {memory} MiB\n\
         GPUs        {gpus}\n\
         library     ONNX Runtime {library_version} ({library})\n\
         providers   {providers}\n\
         this build  {build}\n\
         sandbox     {sandbox} ({complete})"
    )
}
