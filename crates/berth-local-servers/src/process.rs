//! A process that ends with its starter: its group, its log and its end.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::Error;
use crate::watchdog::Watchdog;

/// How often a condition is looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the rest of a process group may take to go once its leader is gone.
const GROUP_LIMIT: Duration = Duration::from_secs(5);

/// A server in a process group of its own, watched by a [`Watchdog`]. Dropping it kills the group.
#[derive(Debug)]
pub struct ServerProcess {
    program: PathBuf,
    child: Child,
    group: Pid,
    /// Gone once the group has ended.
    watchdog: Option<Watchdog>,
}

impl ServerProcess {
    /// Starts a server whose output goes to `log`; `orphaned` is the signal that it gets when this process dies.
    pub fn spawn(command: &mut Command, log: &File, orphaned: Signal) -> Result<Self, Error> {
        let program = PathBuf::from(command.get_program());
        let mut start = || -> io::Result<_> {
            let mut watchdog = Watchdog::start(orphaned)?;
            let child = command
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .process_group(0)
                .spawn()?;
            let group = Pid::from_child(&child);
            watchdog.watch(group)?;
            Ok((child, group, watchdog))
        };
        let (child, group, watchdog) = start().map_err(Error::run(&program))?;
        Ok(Self {
            program,
            child,
            group,
            watchdog: Some(watchdog),
        })
    }

    /// The process id, which is that of its group too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the server ended, if it has.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(Error::run(&self.program))
    }

    /// Waits until `ready` says so; fails as soon as the server ends, or after `limit`.
    pub fn wait_until_ready(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<Readiness, Error> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(Readiness::Ended(status));
            }
            if ready() {
                return Ok(Readiness::Ready);
            }
            if begin.elapsed() >= limit {
                return Ok(Readiness::TooLate);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Sends a signal to the server alone.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.exit_status()?.is_none() {
            kill_process(self.group, signal)
                .map_err(io::Error::from)
                .map_err(Error::run(&self.program))?;
        }
        Ok(())
    }

    /// Ends the server: each signal in turn with the time it may take, then SIGKILL for the whole group. Returns when
    /// no process of the group is left.
    pub fn stop(&mut self, steps: &[(Signal, Duration)]) -> Result<(), Error> {
        for &(signal, limit) in steps {
            if self.exit_status()?.is_none() {
                self.signal(signal)?;
                self.wait_for_exit(limit)?;
            }
        }
        self.kill_group()
    }

    fn wait_for_exit(&mut self, limit: Duration) -> Result<(), Error> {
        let begin = Instant::now();
        while self.exit_status()?.is_none() && begin.elapsed() < limit {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn kill_group(&mut self) -> Result<(), Error> {
        if self.watchdog.is_none() {
            return Ok(());
        }
        // An error means that the group is empty already.
        let _ = kill_process_group(self.group, Signal::KILL);
        self.child.wait().map_err(Error::run(&self.program))?;
        let begin = Instant::now();
        while test_kill_process_group(self.group).is_ok() && begin.elapsed() < GROUP_LIMIT {
            thread::sleep(PAUSE);
        }
        self.watchdog = None;
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Err(error) = self.kill_group() {
            tracing::warn!(program = %self.program.display(), %error, "a private server could not be ended");
        }
    }
}

/// What became of a server that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It is ready.
    Ready,
    /// It ended first.
    Ended(ExitStatus),
    /// The limit passed first; it still runs.
    TooLate,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &tempfile::TempDir) -> ServerProcess {
        let log = File::create(folder.path().join("log")).expect("a log in a fresh folder");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        ServerProcess::spawn(&mut command, &log, Signal::TERM).expect("the shell starts")
    }

    #[test]
    fn a_process_that_ignores_the_first_signal_is_killed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mark = folder.path().join("ready");
        let script = format!(
            "trap '' TERM; touch {}; while :; do sleep 0.05; done",
            mark.display()
        );
        let mut process = shell(&script, &folder);
        let readiness = process.wait_until_ready(Duration::from_secs(20), || mark.exists());
        assert_eq!(readiness.expect("can be waited for"), Readiness::Ready);
        process
            .stop(&[(Signal::TERM, Duration::from_millis(100))])
            .expect("can be stopped");
        assert!(
            test_kill_process_group(process.group).is_err(),
            "no process of the group is left"
        );
    }

    #[test]
    fn the_whole_group_ends_with_its_leader() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mark = folder.path().join("ready");
        let script = format!("sleep 600 & touch {}; wait", mark.display());
        let mut process = shell(&script, &folder);
        let readiness = process.wait_until_ready(Duration::from_secs(20), || mark.exists());
        assert_eq!(readiness.expect("can be waited for"), Readiness::Ready);
        let group = process.group;
        drop(process);
        assert!(
            test_kill_process_group(group).is_err(),
            "the background process is gone too"
        );
    }

    #[test]
    fn an_early_end_is_told_from_readiness() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = shell("exit 3", &folder);
        let readiness = process
            .wait_until_ready(Duration::from_secs(20), || false)
            .expect("can be waited for");
        assert!(
            matches!(readiness, Readiness::Ended(status) if status.code() == Some(3)),
            "{readiness:?}"
        );
    }

    #[test]
    fn the_watchdog_ends_the_group_when_its_pipe_closes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = shell("sleep 600 & wait", &folder);
        let group = process.group;
        // What the kernel does when this process dies: the write end closes without a word.
        let mut watchdog = process.watchdog.take().expect("is watched");
        watchdog.abandon();
        process.child.wait().expect("the shell was ended by the watchdog");
        let begin = Instant::now();
        while test_kill_process_group(group).is_ok() && begin.elapsed() < Duration::from_secs(20) {
            thread::sleep(PAUSE);
        }
        assert!(test_kill_process_group(group).is_err(), "the group is gone");
    }
}
