//! Ends a server when the process that started it dies, even by `kill -9`.
//!
//! A shell waits on a pipe whose other end only the starting process holds. When that process ends, in whatever
//! way, the kernel closes the pipe, the shell wakes and ends the server's process group. This was chosen over the
//! parent-death signal of Linux because that one needs unsafe code between fork and exec (or `setpriv`), fires when
//! the starting *thread* ends, which in an asynchronous program is any moment, and is lost when a process changes
//! its credentials, as the launcher of Postgres does under root.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

/// The first line read is the process group, the second says that the watch is over. An end of file instead of the
/// second means that the starting process is gone: the group gets the signal, and ten seconds later SIGKILL.
const SCRIPT: &str = r#"
read -r group || exit 0
read -r over && exit 0
kill -"$1" -"$group" 2>/dev/null
tries=0
while kill -0 -"$group" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then
        kill -9 -"$group" 2>/dev/null
        exit 0
    fi
    sleep 0.1
done
"#;

/// A waiting shell; dropping it ends the watch without a signal.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts the shell. It is started before the server, so that the server is unwatched for no longer than it
    /// takes to write its process id into the pipe.
    pub(crate) fn start(signal: Signal) -> io::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "watchdog", &signal.as_raw().to_string()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C in the terminal goes to the whole foreground group; the watch must outlive it.
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }

    /// Tells the shell which process group it answers for.
    pub(crate) fn watch(&mut self, group: Pid) -> io::Result<()> {
        self.say(&format!("{}\n", group.as_raw_nonzero()))
    }

    /// Closes the pipe as the kernel does when this process dies.
    #[cfg(test)]
    pub(crate) fn abandon(&mut self) {
        self.shell.stdin = None;
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        match &mut self.shell.stdin {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // A failed write or wait means that the shell is gone already, which is what is wanted here.
        let _ = self.say("over\n");
        let _ = self.shell.wait();
    }
}
