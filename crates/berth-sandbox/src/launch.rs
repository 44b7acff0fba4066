//! The parent's side: starts a child that inherits what it is handed and nothing else.

use std::io::{self, PipeWriter};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What a child is handed when it is started.
///
/// A handed-over descriptor keeps its number, so tell the child that number (an argument, say); the child takes it by
/// [`crate::inherited`]. Every other descriptor of this process is closed in the child, also those that some library
/// forgot to mark, except the standard three.
#[derive(Debug, Default)]
pub struct Launch {
    handed_over: Vec<OwnedFd>,
    dies_with_thread: bool,
}

impl Launch {
    /// Nothing handed over yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands over a socket or file. Returns its number, which is the same in the child.
    pub fn hand_over(&mut self, descriptor: impl Into<OwnedFd>) -> RawFd {
        let descriptor = descriptor.into();
        let number = descriptor.as_raw_fd();
        self.handed_over.push(descriptor);
        number
    }

    /// Makes a lifeline: as long as the returned [`Lifeline`] lives, the child may; when it is dropped or this process
    /// ends in whatever way, the child that called [`crate::inherited::end_with_lifeline`] on the number ends too.
    pub fn lifeline(&mut self) -> io::Result<(Lifeline, RawFd)> {
        let (child, parent) = io::pipe()?;
        Ok((Lifeline(parent), self.hand_over(child)))
    }

    /// Lets the kernel kill the child when the *thread* that starts it ends (`PR_SET_PDEATHSIG`). Only for threads that
    /// live as long as the process: a thread of a pool may be retired while its child is well. A
    /// [lifeline](Self::lifeline) has no such trap.
    #[must_use]
    pub fn dies_with_thread(mut self) -> Self {
        self.dies_with_thread = true;
        self
    }

    /// Prepares `command`, which may then be spawned once or more while it lives.
    #[expect(
        unsafe_code,
        reason = "what happens between fork and exec can only be said by pre_exec"
    )]
    pub fn prepare(self, command: &mut Command) {
        let parent = std::process::id();
        let mut kept: Vec<_> = self.handed_over.iter().map(AsRawFd::as_raw_fd).collect();
        kept.sort_unstable();
        let Self {
            handed_over,
            dies_with_thread,
        } = self;
        let before_exec = move || {
            // The descriptors must stay open as long as the command can be spawned.
            let _ = &handed_over;
            if dies_with_thread {
                die_with_parent_thread(parent)?;
            }
            inherit_only(&kept)
        };
        // SAFETY: the closure runs in the child after `fork`, where only async-signal-safe calls are sound. It makes
        // the system calls `prctl`, `getppid`, `fcntl` and `close_range`, and neither allocates nor locks: `kept` was
        // built before, and errors are made from `errno`.
        unsafe { command.pre_exec(before_exec) };
    }
}

/// Keeps a child alive; see [`Launch::lifeline`].
#[derive(Debug)]
pub struct Lifeline(#[expect(dead_code, reason = "it is only held open")] PipeWriter);

#[expect(unsafe_code, reason = "the standard library does not wrap prctl")]
fn die_with_parent_thread(parent: u32) -> io::Result<()> {
    // SAFETY: this option of `prctl` takes a signal number and touches no memory.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have died before the call; nobody would tell.
    if std::os::unix::process::parent_id() == parent {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// Marks `kept` (sorted) to survive `exec`, and everything else above the standard three to be closed by it.
#[expect(unsafe_code, reason = "the standard library wraps neither call")]
fn inherit_only(kept: &[RawFd]) -> io::Result<()> {
    let mut next = 3;
    for &descriptor in kept {
        // SAFETY: `fcntl` with `F_SETFD` touches no memory; the descriptor is open, since the closure owns it.
        if unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if next < descriptor {
            close_on_exec(next.cast_unsigned(), (descriptor - 1).cast_unsigned())?;
        }
        next = descriptor + 1;
    }
    close_on_exec(next.cast_unsigned(), libc::c_uint::MAX)
}

#[expect(unsafe_code, reason = "the standard library does not wrap close_range")]
fn close_on_exec(first: libc::c_uint, last: libc::c_uint) -> io::Result<()> {
    // SAFETY: `close_range` with this flag closes nothing now and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Before Linux 5.11. All that Rust opened is marked anyway; this call is for what other libraries opened.
        Some(libc::ENOSYS | libc::EINVAL) => Ok(()),
        _ => Err(error),
    }
}
