//! `postmaster.pid`: who runs over a cluster, and whether that server is ready.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;

/// How long a predecessor whose starter died may take to begin its end.
const WATCHDOG_LIMIT: Duration = Duration::from_secs(2);

/// How long a predecessor that is shutting down may take.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// The line with the state, counted from zero; Postgres promises the layout to its own `pg_ctl`, which waits the
/// same way.
const STATE_LINE: usize = 7;

/// Whether the server with this process id says that it takes connections.
pub(super) fn says_ready(cluster: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(path(cluster)) else {
        return false;
    };
    let named = text.lines().next().and_then(|line| line.trim().parse().ok());
    named == Some(pid) && state(&text) == Some("ready")
}

/// Makes sure that no server runs over the cluster, waiting for one that is about to end.
///
/// A file that a killed server left behind is no obstacle to Postgres, unless its process id belongs to some other
/// process by now. The file itself has to stay: Postgres reads from it whose shared memory to look for.
pub(super) fn take_over(cluster: &Path) -> Result<(), Error> {
    let path = path(cluster);
    let begin = Instant::now();
    loop {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::file("reading", &path)(error)),
        };
        let Some(pid) = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse::<u32>().ok())
        else {
            return Ok(());
        };
        if !serves(pid, cluster) {
            return disown(&path, &text, pid);
        }
        let limit = if state(&text) == Some("stopping") {
            SHUTDOWN_LIMIT
        } else {
            WATCHDOG_LIMIT
        };
        if begin.elapsed() >= limit {
            return Err(Error::AlreadyRunning {
                pid,
                path: cluster.to_owned(),
            });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn path(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

fn state(text: &str) -> Option<&str> {
    text.lines().nth(STATE_LINE).map(str::trim)
}

/// Whether a process is a Postgres over this cluster, by its command line. Where the system does not tell command
/// lines this way, Postgres judges by the process id alone.
fn serves(pid: u32, cluster: &Path) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == cluster.as_os_str().as_encoded_bytes())
}

/// Puts this process's id in place of one that now belongs to a stranger: Postgres takes its parent's id for a
/// leftover, and goes on to look for shared memory in use.
fn disown(path: &Path, text: &str, pid: u32) -> Result<(), Error> {
    if !Path::new("/proc").join(pid.to_string()).exists() {
        return Ok(());
    }
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    fs::write(path, format!("{}\n{rest}", std::process::id())).map_err(Error::file("writing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT_BEHIND: &str = "PID\n/data\n1700000000\n5432\n\n127.0.0.1\n 1 2\nready   \n";

    fn cluster_with(pid: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(path(folder.path()), LEFT_BEHIND.replace("PID", &pid.to_string())).expect("is written");
        folder
    }

    #[test]
    fn readiness_is_that_of_the_named_process() {
        let folder = cluster_with(4321);
        assert!(says_ready(folder.path(), 4321));
        assert!(!says_ready(folder.path(), 4322), "left behind by another process");
        let starting = LEFT_BEHIND.replace("PID", "4321").replace("ready   ", "starting");
        fs::write(path(folder.path()), starting).expect("is written");
        assert!(!says_ready(folder.path(), 4321));
    }

    #[test]
    fn a_process_id_that_now_belongs_to_a_stranger_is_disowned() {
        let mut stranger = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep starts");
        let folder = cluster_with(stranger.id());
        let taken = take_over(folder.path());
        stranger.kill().expect("was running");
        stranger.wait().expect("was running");
        taken.expect("a stranger does not hold the cluster");
        let text = fs::read_to_string(path(folder.path())).expect("is still there");
        assert_eq!(text, LEFT_BEHIND.replace("PID", &std::process::id().to_string()));
    }
}
