//! The process of a runner: started, and what its end means.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use berth_sandbox::launch::{Launch, Lifeline};
use berth_sandbox::notes::Notes;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::process::{Child, Command};

use super::{ALLOCATOR_ENVIRONMENT, Error, LIBRARY_ENVIRONMENT, Launcher, runner_environment};

/// A runner's process and what the node holds of it. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) socket: Socket,
    /// What it computed when it ended.
    pub(super) notes: Notes,
    _lifeline: Lifeline,
}

impl Launcher {
    /// The child alone holds the listening socket: when it is gone, connecting is refused at once.
    pub(super) fn spawn(&self, name: &str) -> Result<Process, Error> {
        let socket = Socket(self.sockets.join(format!("{name}.sock")));
        let mut hand_over = Launch::new();
        let listener = UnixListener::bind(&socket.0).map_err(launch("making the runner's socket"))?;
        let listener = hand_over.hand_over(listener);
        let (lifeline, lifeline_number) = hand_over
            .lifeline()
            .map_err(launch("making the runner's lifeline"))?;
        let notes = Notes::new().map_err(launch("making the runner's page of notes"))?;
        let page = notes.descriptor();
        let page = hand_over.hand_over(page.map_err(launch("making the runner's page of notes"))?);
        let mut command = std::process::Command::new(&self.program);
        command
            .arg("runner")
            .args([
                "--socket",
                &listener.to_string(),
                "--lifeline",
                &lifeline_number.to_string(),
                "--notes",
                &page.to_string(),
            ])
            .env_clear()
            .envs(runner_environment())
            .envs(LIBRARY_ENVIRONMENT)
            .envs(ALLOCATOR_ENVIRONMENT)
            .envs(self.gpu.into_iter().flat_map(seeing))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the node, which then ends its runners in order.
            .process_group(0);
        hand_over.prepare(&mut command);
        let mut command = Command::from(command);
        let child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(launch("starting the runner"))?;
        // When memory runs out, a model goes before the node and everything else on the machine.
        if let Some(pid) = child.id()
            && let Err(error) = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000")
        {
            tracing::warn!(%error, pid, "a runner is not the first to go when memory runs out");
        }
        Ok(Process {
            child,
            socket,
            notes,
            _lifeline: lifeline,
        })
    }
}

impl Process {
    /// Sends SIGTERM.
    pub(super) fn terminate(&self) -> io::Result<()> {
        match self.pid() {
            Some(pid) => Ok(rustix::process::kill_process(pid, Signal::TERM)?),
            None => Ok(()),
        }
    }

    /// Lets it take so much private memory, and `most` when it is raised again. It must have entered its sandbox.
    pub(super) fn limit_memory(&self, bytes: u64, most: u64) -> io::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let limit = Rlimit {
            current: Some(bytes.min(most)),
            maximum: Some(most),
        };
        rustix::process::prlimit(Some(pid), Resource::Data, limit)?;
        Ok(())
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()?).ok()?)
    }
}

/// The environment in which CUDA sees this GPU alone, counted as the bus counts.
fn seeing(gpu: u16) -> [(&'static str, String); 2] {
    [
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES", gpu.to_string()),
    ]
}

/// The path of a socket, removed when it is no longer used.
#[derive(Debug)]
pub(super) struct Socket(PathBuf);

impl Socket {
    /// How it is called in records: `unix:` and the path.
    pub(super) fn address(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.0.display(), "a socket could not be removed");
        }
    }
}

/// How a process ended, to be said after its name.
pub(super) fn in_words(status: ExitStatus) -> String {
    match status.signal() {
        Some(4) => "crashed (illegal instruction: is this processor too old for the library?)".to_owned(),
        Some(6) => "was aborted by its library".to_owned(),
        Some(7) => "crashed (bus error)".to_owned(),
        Some(8) => "crashed (arithmetic error)".to_owned(),
        Some(9) => "was killed, perhaps because memory ran out".to_owned(),
        Some(11) => "crashed (memory fault)".to_owned(),
        Some(31) => "was killed for a system call that the sandbox forbids".to_owned(),
        Some(signal) => format!("was ended by signal {signal}"),
        None => format!("ended with code {}", status.code().unwrap_or(-1)),
    }
}

pub(super) fn launch(attempt: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Launch { attempt, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_in_words() {
        assert_eq!(in_words(ExitStatus::from_raw(11)), "crashed (memory fault)");
        assert_eq!(in_words(ExitStatus::from_raw(3 << 8)), "ended with code 3");
        assert_eq!(in_words(ExitStatus::from_raw(50)), "was ended by signal 50");
    }
}
