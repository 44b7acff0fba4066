//! A built binary that a test runs.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::servers::process::ServerProcess;

/// The line that a binary prints when it takes connections.
const LISTENING: &str = "listening on ";

/// How long a binary may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running binary with its output in a file. Dropping it ends it, with all processes of its group; the output is
/// shown when the test has failed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: ServerProcess,
    log: PathBuf,
    _folder: TempDir,
}

impl Process {
    /// Starts a binary; does not wait for it.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a folder for the log")?;
        let log = folder.path().join("log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .context("making the log")?;
        let child =
            ServerProcess::spawn(command, &file, Signal::KILL).with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            _folder: folder,
        })
    }

    /// Starts a binary that listens, and waits for its line `listening on <address>`. Ask it for port 0.
    ///
    /// Fails, with what it wrote, when it ends first or takes too long.
    pub async fn listen(name: &str, command: &mut Command) -> Result<(Self, String)> {
        let mut process = Self::spawn(name, command)?;
        let address = process
            .wait_for_line(START_LIMIT, |line| {
                line.strip_prefix(LISTENING)
                    .map(|address| address.trim().to_owned())
            })
            .await?;
        Ok((process, address))
    }

    /// Waits until a line of the output yields something. Looks at all lines from the first on.
    ///
    /// Fails, with what it wrote, when the process ends without such a line, or after `limit`.
    pub async fn wait_for_line<T>(
        &mut self,
        limit: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let begin = Instant::now();
        loop {
            // Asked before reading, so that the last lines of a process that ends are not missed.
            let status = self.child.exit_status()?;
            let output = self.output();
            let whole_lines = output.rfind('\n').map_or("", |end| &output[..end]);
            if let Some(found) = whole_lines.lines().find_map(&mut find) {
                return Ok(found);
            }
            if let Some(status) = status {
                bail!(
                    "{} ended ({status}) without the awaited line; it wrote:\n{output}",
                    self.name
                );
            }
            if begin.elapsed() >= limit {
                bail!(
                    "{} did not write the awaited line within {limit:?}; it wrote:\n{output}",
                    self.name
                );
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it has written so far, to its standard output and error.
    pub fn output(&self) -> String {
        read(&self.log).unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.exit_status()?)
    }

    /// Sends SIGTERM and waits for the end. Blocks the thread; fails when it takes longer than 30 seconds.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.child.signal(Signal::TERM)?;
        self.wait(STOP_LIMIT)
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end. Blocks the thread; fails when it takes longer than 30 s.
    pub fn interrupt(&mut self) -> Result<ExitStatus> {
        self.child.signal(Signal::INT)?;
        self.wait(STOP_LIMIT)
    }

    /// Kills this process alone (`kill -9`), as a crash would, and waits for its end. Blocks the thread.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.signal(Signal::KILL)?;
        self.wait(STOP_LIMIT)
    }

    /// Waits for the end. Blocks the thread; fails, with what it wrote, after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.exit_status()? {
                return Ok(status);
            }
            if begin.elapsed() >= limit {
                bail!(
                    "{} did not end within {limit:?}; it wrote:\n{}",
                    self.name,
                    self.output()
                );
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "the test runner shows the output of a failed test"
    )]
    fn drop(&mut self) {
        let end = self.child.stop(&[(Signal::TERM, Duration::from_secs(10))]);
        if thread::panicking() {
            eprintln!("--- {} wrote:\n{}---", self.name, self.output());
            if let Err(error) = end {
                eprintln!("--- {} could not be ended: {error}", self.name);
            }
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn the_address_is_read_from_the_output() {
        let script = "echo starting; echo 'listening on http://127.0.0.1:4711'; exec sleep 600";
        let (mut process, address) = Process::listen("shell", &mut shell(script))
            .await
            .expect("it listens");
        assert_eq!(address, "http://127.0.0.1:4711");
        let status = process.terminate().expect("it ends");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }

    #[tokio::test]
    async fn a_process_that_ends_early_shows_what_it_wrote() {
        let error = Process::listen("shell", &mut shell("echo 'no such file' >&2; exit 2")).await;
        let text = error.expect_err("it never listens").to_string();
        assert!(
            text.contains("no such file") && text.contains("exit status: 2"),
            "{text}"
        );
    }
}
