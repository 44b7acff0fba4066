//! Tries what the sandbox should stop, and says whether it was stopped.
//!
//! Each probe does the real thing, so run it in a child process that has entered the sandbox: outside it a foreign file
//! is opened, a program run, and memory taken.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;

use crate::limits;

/// Something that a process in the sandbox must not be able to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Read a file that it was not given.
    ReadForeignFile(PathBuf),
    /// Make or change a file that it was not given.
    WriteForeignFile(PathBuf),
    /// Make a network socket.
    OpenSocket,
    /// Make a Unix socket and reach for another process through it.
    OpenUnixSocket,
    /// Run a program.
    RunProgram,
    /// Take so many bytes of private memory.
    TakeMemory(usize),
    /// Raise its own limits again.
    RaiseLimits,
    /// Signal its parent.
    SignalParent,
}

/// Whether a probe was stopped.
#[derive(Debug)]
pub enum Outcome {
    /// The kernel said no.
    Stopped(io::Error),
    /// It was done: the sandbox has a hole here.
    Done,
}

impl Outcome {
    /// Whether the sandbox held.
    pub fn stopped(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }
}

impl From<io::Result<()>> for Outcome {
    fn from(result: io::Result<()>) -> Self {
        result.map_or_else(Self::Stopped, |()| Self::Done)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(error) => write!(out, "stopped: {error}"),
            Self::Done => out.write_str("NOT STOPPED"),
        }
    }
}

impl Probe {
    /// Tries it.
    pub fn run(&self) -> Outcome {
        match self {
            Self::ReadForeignFile(path) => File::open(path).map(drop),
            Self::WriteForeignFile(path) => OpenOptions::new().append(true).create(true).open(path).map(drop),
            Self::OpenSocket => TcpListener::bind("127.0.0.1:0")
                .map(drop)
                .or_else(|_| UdpSocket::bind("127.0.0.1:0").map(drop)),
            Self::OpenUnixSocket => UnixDatagram::unbound()
                .map(drop)
                .or_else(|_| UnixStream::connect("/run/nothing.sock").map(drop)),
            Self::RunProgram => run_program(),
            Self::TakeMemory(bytes) => take_memory(*bytes),
            Self::RaiseLimits => raise_limits(),
            Self::SignalParent => signal_parent(),
        }
        .into()
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadForeignFile(path) => write!(out, "read-file={}", path.display()),
            Self::WriteForeignFile(path) => write!(out, "write-file={}", path.display()),
            Self::OpenSocket => out.write_str("open-socket"),
            Self::OpenUnixSocket => out.write_str("open-unix-socket"),
            Self::RunProgram => out.write_str("run-program"),
            Self::TakeMemory(bytes) => write!(out, "take-memory={bytes}"),
            Self::RaiseLimits => out.write_str("raise-limits"),
            Self::SignalParent => out.write_str("signal-parent"),
        }
    }
}

/// A text that names no probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no probe called `{0}`")]
pub struct UnknownProbe(String);

impl FromStr for Probe {
    type Err = UnknownProbe;

    /// Reads what `Display` writes: `name` or `name=value`.
    fn from_str(text: &str) -> Result<Self, UnknownProbe> {
        let unknown = || UnknownProbe(text.to_owned());
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("read-file", Some(path)) => Ok(Self::ReadForeignFile(path.into())),
            ("write-file", Some(path)) => Ok(Self::WriteForeignFile(path.into())),
            ("open-socket", None) => Ok(Self::OpenSocket),
            ("open-unix-socket", None) => Ok(Self::OpenUnixSocket),
            ("run-program", None) => Ok(Self::RunProgram),
            ("take-memory", Some(bytes)) => bytes.parse().map(Self::TakeMemory).map_err(|_| unknown()),
            ("raise-limits", None) => Ok(Self::RaiseLimits),
            ("signal-parent", None) => Ok(Self::SignalParent),
            _ => Err(unknown()),
        }
    }
}

fn run_program() -> io::Result<()> {
    Command::new("/bin/true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .and_then(|mut child| child.wait())
        .map(drop)
}

fn take_memory(bytes: usize) -> io::Result<()> {
    let mut memory = Vec::<u8>::new();
    memory
        .try_reserve_exact(bytes)
        .map_err(|_| io::ErrorKind::OutOfMemory.into())
}

fn raise_limits() -> io::Result<()> {
    limits::replace(
        libc::RLIMIT_DATA,
        libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        },
    )
}

#[expect(unsafe_code, reason = "the standard library does not wrap kill")]
fn signal_parent() -> io::Result<()> {
    let parent = std::os::unix::process::parent_id().cast_signed();
    // SAFETY: `kill` touches no memory; signal 0 only asks whether it would be allowed.
    if unsafe { libc::kill(parent, 0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
