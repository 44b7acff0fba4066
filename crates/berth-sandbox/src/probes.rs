//! Tries what the sandbox should stop, and says whether it was stopped.
//!
//! Each probe does the real thing, so run it in a child process that has entered the sandbox: outside it a foreign file
//! is opened, a program run, and memory taken.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
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
    /// Connect to a server by TCP.
    ConnectTcp(SocketAddr),
    /// Send a packet by UDP.
    SendUdp(SocketAddr),
    /// Make a Unix socket and reach for another process through it.
    OpenUnixSocket,
    /// Connect to a server by its Unix socket.
    ConnectUnix(PathBuf),
    /// List a folder that it was not given.
    ListFolder(PathBuf),
    /// Read the environment of its parent, where secrets may be.
    ReadParentEnvironment,
    /// Find a variable with this name in its own environment, or a secret's name beside it.
    FindInEnvironment(String),
    /// Reach into the memory of its parent.
    ReadParentMemory,
    /// Change something of itself or the system through `/proc`.
    WriteThroughProc,
    /// Run a program.
    RunProgram,
    /// Become two processes.
    Fork,
    /// Trace a process. A kernel that is set to may kill the process for it.
    Trace,
    /// Make a name space in which it would be root.
    MakeNamespace,
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
            Self::ConnectTcp(address) => TcpStream::connect(address).map(drop),
            Self::SendUdp(address) => UdpSocket::bind("127.0.0.1:0")
                .and_then(|socket| socket.send_to(b"out", address))
                .map(drop),
            Self::ConnectUnix(path) => UnixStream::connect(path).map(drop),
            Self::ListFolder(path) => std::fs::read_dir(path).map(drop),
            Self::ReadParentEnvironment => of_parent("environ").and_then(read_some),
            Self::FindInEnvironment(name) => find_in_environment(name),
            Self::ReadParentMemory => of_parent("mem").map(drop),
            Self::WriteThroughProc => write_through_proc(),
            Self::Fork => fork(),
            Self::Trace => trace(),
            Self::MakeNamespace => make_namespace(),
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
            Self::ConnectTcp(address) => write!(out, "connect-tcp={address}"),
            Self::SendUdp(address) => write!(out, "send-udp={address}"),
            Self::OpenUnixSocket => out.write_str("open-unix-socket"),
            Self::ConnectUnix(path) => write!(out, "connect-unix={}", path.display()),
            Self::ListFolder(path) => write!(out, "list-folder={}", path.display()),
            Self::ReadParentEnvironment => out.write_str("read-parent-environment"),
            Self::FindInEnvironment(name) => write!(out, "find-in-environment={name}"),
            Self::ReadParentMemory => out.write_str("read-parent-memory"),
            Self::WriteThroughProc => out.write_str("write-through-proc"),
            Self::Fork => out.write_str("fork"),
            Self::Trace => out.write_str("trace"),
            Self::MakeNamespace => out.write_str("make-namespace"),
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
            ("connect-tcp", Some(address)) => address.parse().map(Self::ConnectTcp).map_err(|_| unknown()),
            ("send-udp", Some(address)) => address.parse().map(Self::SendUdp).map_err(|_| unknown()),
            ("open-unix-socket", None) => Ok(Self::OpenUnixSocket),
            ("connect-unix", Some(path)) => Ok(Self::ConnectUnix(path.into())),
            ("list-folder", Some(path)) => Ok(Self::ListFolder(path.into())),
            ("read-parent-environment", None) => Ok(Self::ReadParentEnvironment),
            ("find-in-environment", Some(name)) => Ok(Self::FindInEnvironment(name.to_owned())),
            ("read-parent-memory", None) => Ok(Self::ReadParentMemory),
            ("write-through-proc", None) => Ok(Self::WriteThroughProc),
            ("fork", None) => Ok(Self::Fork),
            ("trace", None) => Ok(Self::Trace),
            ("make-namespace", None) => Ok(Self::MakeNamespace),
            ("run-program", None) => Ok(Self::RunProgram),
            ("take-memory", Some(bytes)) => bytes.parse().map(Self::TakeMemory).map_err(|_| unknown()),
            ("raise-limits", None) => Ok(Self::RaiseLimits),
            ("signal-parent", None) => Ok(Self::SignalParent),
            _ => Err(unknown()),
        }
    }
}

fn of_parent(file: &str) -> io::Result<File> {
    File::open(format!("/proc/{}/{file}", std::os::unix::process::parent_id()))
}

fn read_some(mut file: File) -> io::Result<()> {
    file.read_exact(&mut [0])
}

fn find_in_environment(name: &str) -> io::Result<()> {
    let secret = |variable: &std::ffi::OsString| {
        let variable = variable.to_string_lossy();
        variable == name || variable.contains("SECRET") || variable.contains("PASSWORD")
    };
    let found = std::env::vars_os().any(|(variable, _)| secret(&variable));
    found
        .then_some(())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no secret is in the environment"))
}

/// Tries what would be worth most to somebody who wants out; one that works is enough.
fn write_through_proc() -> io::Result<()> {
    let write = |path: &str| OpenOptions::new().write(true).open(path).map(drop);
    write("/proc/self/oom_score_adj")
        .or_else(|_| write("/proc/self/mem"))
        .or_else(|_| write("/proc/self/attr/current"))
        .or_else(|_| write("/proc/sys/kernel/core_pattern"))
}

/// The child ends at once.
#[expect(unsafe_code, reason = "the standard library does not wrap fork")]
fn fork() -> io::Result<()> {
    // SAFETY: the child calls `_exit` and nothing else.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: `_exit` ends the process and touches no memory.
            unsafe { libc::_exit(0) }
        }
        child => {
            // SAFETY: no status is written where there is no place for one.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            Ok(())
        }
    }
}

#[expect(unsafe_code, reason = "the standard library does not wrap ptrace")]
fn trace() -> io::Result<()> {
    // SAFETY: this request takes no address; it asks to be traced by the parent, who does not.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "the standard library does not wrap unshare")]
fn make_namespace() -> io::Result<()> {
    // SAFETY: `unshare` touches no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
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
