//! What processes hold in memory, beside a bare session in a process of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{self, Command};

use anyhow::{Context as _, Result, bail};

use crate::bare::{self, BareEmbedder};
use crate::processes;
use crate::report::{Aim, Row};
use crate::statistics::exactly;

/// How often the bare process embeds each text before it looks at its memory: its arena has grown by then.
const REPETITIONS: usize = 50;

/// What a runner may hold beyond the bare session, in MB.
const RUNNER_AIM: Aim = Aim::AtMost(15.0);

/// Where the parts are, and what is embedded.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The ONNX Runtime library that the runner uses too.
    #[arg(long)]
    onnxruntime: PathBuf,
    /// Folder with the model's `model.onnx` and `tokenizer.json`.
    #[arg(long)]
    folder: PathBuf,
    /// The texts, as the runner gets them.
    texts: Vec<String>,
}

/// Embeds and writes the private bytes of this process to standard output.
pub(crate) fn tell(options: &Options) -> Result<()> {
    let environment = bare::runtime(&options.onnxruntime)?;
    let mut bare = BareEmbedder::load(&environment, &options.folder)?;
    for text in options
        .texts
        .iter()
        .cycle()
        .take(options.texts.len() * REPETITIONS)
    {
        bare.embed(text)?;
    }
    let bytes = processes::private_bytes(process::id())?;
    writeln!(std::io::stdout(), "{bytes}").context("writing the figure")
}

/// The private memory of the family of `pid` and of an idle `berth api`, and what each runner holds beyond a bare session
/// that has embedded the same texts.
pub(crate) fn rows(bench: &'static str, pid: u32, api: Option<u32>, bare: &Options) -> Result<Vec<Row>> {
    let row = |case: String, metric, bytes: u64, aim| {
        #[expect(clippy::cast_precision_loss, reason = "megabytes for a table")]
        let megabytes = bytes as f64 / 1e6;
        Row::new(bench, case, metric, exactly(megabytes), "MB", aim)
    };
    let alone = bare_bytes(bare)?;
    let mut rows = vec![row("bare session".to_owned(), "private memory", alone, None)];
    for process in processes::family(pid)? {
        // Of the database's many processes none is Berth's.
        if !process.name.starts_with("berth") {
            continue;
        }
        let is_runner = process.name.ends_with(" runner");
        rows.push(row(
            process.name.clone(),
            "private memory",
            process.private_bytes,
            None,
        ));
        if is_runner {
            let added = process.private_bytes.saturating_sub(alone);
            rows.push(row(
                process.name,
                "beyond the bare session",
                added,
                Some(RUNNER_AIM),
            ));
        }
    }
    if let Some(api) = api {
        rows.push(row(
            "berth api, idle".to_owned(),
            "private memory",
            processes::private_bytes(api)?,
            None,
        ));
    }
    Ok(rows)
}

/// Measured in a fresh process: in this one the rounds have left their traces.
fn bare_bytes(options: &Options) -> Result<u64> {
    let program = std::env::current_exe().context("finding this program")?;
    let output = Command::new(program)
        .arg("bare-memory")
        .arg("--onnxruntime")
        .arg(&options.onnxruntime)
        .arg("--folder")
        .arg(&options.folder)
        .args(&options.texts)
        .output()
        .context("starting the bare session")?;
    if !output.status.success() {
        bail!(
            "the bare session failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8(output.stdout).context("reading the figure")?;
    text.trim()
        .parse()
        .with_context(|| format!("`{text}` is no number"))
}

impl Options {
    /// The same parts with these texts.
    pub(crate) fn new(onnxruntime: PathBuf, folder: PathBuf, texts: Vec<String>) -> Self {
        Self {
            onnxruntime,
            folder,
            texts,
        }
    }
}
