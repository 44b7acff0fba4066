//! Tries what the sandbox of a runner must stop.
//!
//! Each attempt has a process of its own, started with the environment of a runner and shut in as one. What it reaches for
//! really is there: a server that answers, a file that can be read. So an attempt that comes to nothing was stopped.

use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended, Stdio};

use anyhow::Context as _;
use berth_inference::onnx_runtime::Library;
use berth_sandbox::launch::Launch;
use berth_sandbox::probes::{Outcome, Probe};
use serde::{Deserialize, Serialize};

use super::Output;
use crate::launcher::{LIBRARY_ENVIRONMENT, runner_environment};
use crate::runner::{Confinement, SandboxMode};

/// A variable that only the parent has.
const PLANTED: &str = "BERTH_DOCTOR_PLANTED";

/// What an attempt's process may take.
const CEILING_BYTES: u64 = 512 << 20;

/// Signal that the kernel sends for a system call that is forbidden on pain of death.
const SIGSYS: i32 = 31;

/// One attempt.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What to try.
    probe: Probe,
    /// The ONNX Runtime library.
    #[arg(long)]
    library: PathBuf,
    /// The folder that stands for the model's.
    #[arg(long)]
    folder: PathBuf,
    /// Without the sandbox.
    #[arg(long)]
    open: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The kernel said no.
    Stopped,
    /// The kernel killed the process for it.
    Killed,
    /// It was done.
    GotThrough,
    /// Nothing can be said: the attempt was not made.
    Unclear,
}

impl Verdict {
    const fn words(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Killed => "stopped, process killed",
            Self::GotThrough => "GOT THROUGH",
            Self::Unclear => "UNCLEAR",
        }
    }

    const fn is_good(self) -> bool {
        matches!(self, Self::Stopped | Self::Killed)
    }
}

/// A row of the table.
#[derive(Debug, Serialize)]
struct Row {
    /// The attempt, in words.
    attempt: &'static str,
    outcome: Verdict,
    /// What the kernel said.
    detail: String,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Table {
    /// Whether everything was stopped.
    holds: bool,
    attempts: Vec<Row>,
}

/// What an attempt's process says in its one line.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    stopped: bool,
    detail: String,
}

/// Makes all attempts and tells what came of each. Fails when one got through, or could not be made.
pub(super) fn main(library: &Path, open: bool, output: Output) -> anyhow::Result<()> {
    let targets = Targets::make().context("there is nothing to reach for")?;
    let program = std::env::current_exe().context("this program does not find itself")?;
    let run = |probe: &Probe| targets.run(&program, library, probe, open);
    // What must work does, so what does not was stopped.
    let own = run(&Probe::ReadForeignFile(targets.own_file()))?;
    let (verdict, detail) = judged(&own);
    anyhow::ensure!(
        verdict == Verdict::GotThrough,
        "a runner cannot read its own files ({detail}): {}",
        String::from_utf8_lossy(&own.stderr).trim()
    );
    let mut attempts = Vec::new();
    for (attempt, probe) in targets.attempts()? {
        let (outcome, detail) = judged(&run(&probe)?);
        attempts.push(Row {
            attempt,
            outcome,
            detail,
        });
    }
    let table = Table {
        holds: attempts.iter().all(|row| row.outcome.is_good()),
        attempts,
    };
    let text = match output {
        Output::Json => serde_json::to_string(&table)?,
        Output::Text => text(&table),
    };
    writeln!(io::stdout(), "{text}").context("nobody reads the report")?;
    let bad = table.attempts.iter().filter(|row| !row.outcome.is_good()).count();
    anyhow::ensure!(
        table.holds,
        "{bad} of {} attempts were not stopped",
        table.attempts.len()
    );
    Ok(())
}

/// Enters the sandbox as a runner does, tries one thing, and says what came of it.
pub(crate) fn attempt(arguments: &Arguments) -> anyhow::Result<()> {
    let library = Library::load(&arguments.library)?;
    if !arguments.open {
        let confinement = Confinement {
            folder: Some(&arguments.folder),
            library: &arguments.library,
            gpu: false,
            memory_bytes: Some(CEILING_BYTES),
            memory_most_bytes: None,
            mode: SandboxMode::BestEffort,
        };
        confinement.enter().context("the sandbox cannot be entered")?;
    }
    // As in a runner, the library is at work when the attempt is made.
    let _started = library.start()?;
    let outcome = arguments.probe.run();
    let said = Said {
        stopped: outcome.stopped(),
        detail: match outcome {
            Outcome::Stopped(error) => error.to_string(),
            Outcome::Done => String::new(),
        },
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&said)?).context("nobody listens")
}

fn judged(ended: &Ended) -> (Verdict, String) {
    if ended.status.signal() == Some(SIGSYS) {
        return (Verdict::Killed, "forbidden system call".to_owned());
    }
    match serde_json::from_slice::<Said>(&ended.stdout) {
        Ok(said) if said.stopped => (Verdict::Stopped, said.detail),
        Ok(_) => (Verdict::GotThrough, String::new()),
        Err(_) => {
            let words = String::from_utf8_lossy(&ended.stderr);
            let last = words.lines().last().unwrap_or_default();
            (Verdict::Unclear, format!("{}: {last}", ended.status))
        }
    }
}

fn text(table: &Table) -> String {
    let width = table
        .attempts
        .iter()
        .map(|row| row.attempt.len())
        .max()
        .unwrap_or(0);
    let rows = table.attempts.iter().map(|row| {
        let Row {
            attempt,
            outcome,
            detail,
        } = row;
        let line = format!("{attempt:width$}  {:23}  {detail}", outcome.words());
        line.trim_end().to_owned()
    });
    let last = if table.holds {
        "the sandbox holds"
    } else {
        "the sandbox does NOT hold"
    };
    rows.chain([last.to_owned()]).collect::<Vec<_>>().join("\n")
}

/// What the attempts reach for. It lives as long as they do.
struct Targets {
    folder: Folder,
    tcp: TcpListener,
    udp: UdpSocket,
    _unix: UnixListener,
}

impl Targets {
    fn make() -> io::Result<Self> {
        let folder = Folder::make()?;
        let model = folder.0.join("model");
        fs::create_dir(&model)?;
        fs::write(model.join("file"), "the model's own")?;
        fs::write(folder.0.join("secret"), "not the model's")?;
        Ok(Self {
            tcp: TcpListener::bind("127.0.0.1:0")?,
            udp: UdpSocket::bind("127.0.0.1:0")?,
            _unix: UnixListener::bind(folder.0.join("socket"))?,
            folder,
        })
    }

    fn own_file(&self) -> PathBuf {
        self.folder.0.join("model/file")
    }

    fn attempts(&self) -> io::Result<Vec<(&'static str, Probe)>> {
        let folder = &self.folder.0;
        let beyond = usize::try_from(2 * CEILING_BYTES).unwrap_or(usize::MAX);
        Ok(vec![
            (
                "read another's file",
                Probe::ReadForeignFile(folder.join("secret")),
            ),
            (
                "read the system's accounts",
                Probe::ReadForeignFile("/etc/passwd".into()),
            ),
            ("list another's folder", Probe::ListFolder(folder.clone())),
            ("write a new file", Probe::WriteForeignFile(folder.join("new"))),
            (
                "write into its own folder",
                Probe::WriteForeignFile(folder.join("model/new")),
            ),
            ("change its own file", Probe::WriteForeignFile(self.own_file())),
            ("write through /proc", Probe::WriteThroughProc),
            ("make a network socket", Probe::OpenSocket),
            ("connect by TCP", Probe::ConnectTcp(self.tcp.local_addr()?)),
            ("send by UDP", Probe::SendUdp(self.udp.local_addr()?)),
            ("make a Unix socket", Probe::OpenUnixSocket),
            (
                "connect to a Unix socket",
                Probe::ConnectUnix(folder.join("socket")),
            ),
            ("start a program", Probe::RunProgram),
            ("fork", Probe::Fork),
            ("trace a process", Probe::Trace),
            ("read the worker's memory", Probe::ReadParentMemory),
            ("read the worker's environment", Probe::ReadParentEnvironment),
            (
                "find secrets in its environment",
                Probe::FindInEnvironment(PLANTED.to_owned()),
            ),
            ("signal the worker", Probe::SignalParent),
            ("make a name space", Probe::MakeNamespace),
            ("exceed its memory", Probe::TakeMemory(beyond)),
            ("raise its limits", Probe::RaiseLimits),
        ])
    }

    fn run(&self, program: &Path, library: &Path, probe: &Probe, open: bool) -> anyhow::Result<Ended> {
        let mut command = Command::new(program);
        command
            .arg("attempt")
            .arg(probe.to_string())
            .arg("--library")
            .arg(library)
            .arg("--folder")
            .arg(self.folder.0.join("model"))
            .stdin(Stdio::null());
        if open {
            command.arg("--open").env(PLANTED, "secret");
        } else {
            command.env_clear().envs(runner_environment());
        }
        command.envs(LIBRARY_ENVIRONMENT);
        // Nothing is handed over: what this process has open stays here.
        Launch::new().prepare(&mut command);
        command.output().context("an attempt cannot be started")
    }
}

/// A folder that is removed when it is no longer used.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("berth-doctor-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a folder could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn only_what_was_stopped_is_good() {
        let ended = |raw, stdout: &str| Ended {
            status: ExitStatus::from_raw(raw),
            stdout: stdout.as_bytes().to_vec(),
            stderr: Vec::new(),
        };
        for (raw, stdout, verdict) in [
            (0, r#"{"stopped":true,"detail":"no"}"#, Verdict::Stopped),
            (31, "", Verdict::Killed),
            (0, r#"{"stopped":false,"detail":""}"#, Verdict::GotThrough),
            (1 << 8, "", Verdict::Unclear),
            (11, "", Verdict::Unclear),
        ] {
            let found = judged(&ended(raw, stdout)).0;
            assert_eq!(found, verdict, "{raw}: {stdout}");
            assert_eq!(
                found.is_good(),
                matches!(verdict, Verdict::Stopped | Verdict::Killed)
            );
        }
    }
}
