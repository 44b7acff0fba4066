//! The sandbox: what a process asks for, and what it got.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::{filesystem, limits, privileges, system_calls};

/// What happens when the kernel lacks a part of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// [`Sandbox::enter`] fails. The right choice wherever strangers' models are loaded.
    #[default]
    Required,
    /// The rest is enforced, and [`Applied`] says what is missing.
    BestEffort,
}

/// What a process may still do once it is inside. The default allows nothing that can be withheld: no file, no network,
/// no program; only amounts are unlimited until they are set.
///
/// New sockets and new programs are never allowed, so there is no field for them: what a process talks through is handed
/// over by its parent (see [`crate::launch`]).
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    /// Files and folders (with all beneath) that may be read. Each must exist.
    pub read_only: Vec<PathBuf>,
    /// Files and folders (with all beneath) that may be read, written, made and removed. Each must exist.
    pub read_write: Vec<PathBuf>,
    /// Devices that may be read, written and asked for what only they can do. Each must exist. A driver is a large door:
    /// name none without need.
    pub devices: Vec<PathBuf>,
    /// Most bytes of private writable memory (`RLIMIT_DATA`). Files that are mapped for reading do not count, so a
    /// model's mapped weights may be larger.
    pub memory_data_bytes: Option<u64>,
    /// Up to which the parent may raise that later (the process itself cannot). Without it, never.
    pub memory_data_most_bytes: Option<u64>,
    /// Most seconds of processor time; the process is ended by `SIGXCPU` after them.
    pub cpu_seconds: Option<u64>,
    /// Largest file that may be written; a write beyond it fails with `EFBIG`.
    pub file_size_bytes: Option<u64>,
    /// Most files that may be open at once.
    pub open_files: Option<u64>,
    /// What happens when the kernel lacks a part.
    pub mode: Mode,
}

const MACHINE_FILES: &[&str] = &[
    "/dev/null",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/sys/devices/system",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
];

/// What the kernel really enforces after [`Sandbox::enter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Version of the Landlock interface in force, or `None` when the kernel has no Landlock.
    pub landlock_abi: Option<u32>,
    /// Whether each right that this crate asks Landlock for is enforced; older kernels enforce some.
    pub landlock_complete: bool,
    /// Whether the system call filter is in force.
    pub seccomp: bool,
    /// Whether all capabilities were given up.
    pub capabilities_dropped: bool,
}

impl fmt::Display for Applied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock_abi {
            Some(abi) if self.landlock_complete => write!(out, "landlock {abi}")?,
            Some(abi) => write!(out, "landlock {abi} (some rights missing)")?,
            None => write!(out, "no landlock")?,
        }
        out.write_str(if self.seccomp { ", seccomp" } else { ", no seccomp" })?;
        out.write_str(if self.capabilities_dropped {
            ", no capabilities"
        } else {
            ", capabilities kept"
        })
    }
}

/// Why the sandbox could not be entered. The process may be half inside then; it should end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process already has other threads, which would stay outside.
    #[error("the sandbox must be entered before threads are started, and {0} run already")]
    Threads(usize),
    /// The threads of the process could not be counted.
    #[error("the threads of this process could not be counted")]
    CountThreads(#[source] io::Error),
    /// A path that should stay reachable could not be opened.
    #[error("the sandbox cannot keep {} reachable", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: landlock::PathFdError,
    },
    /// The kernel has no Landlock, or it is switched off.
    #[error(
        "this kernel has no Landlock, which the sandbox needs (Linux 5.13 or later, with `landlock` among its LSMs)"
    )]
    NoLandlock,
    /// Landlock refused the rules.
    #[error("the file rules of the sandbox could not be put in force")]
    Landlock(#[source] landlock::RulesetError),
    /// The system call filter could not be built or installed.
    #[error("the system call filter of the sandbox could not be put in force")]
    Seccomp(#[source] seccompiler::Error),
    /// A resource limit could not be set.
    #[error("the limit on {limit} could not be set")]
    Limit {
        /// Which one, in words.
        limit: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The privileges could not be given up.
    #[error("the privileges of this process could not be given up")]
    Privileges(#[source] io::Error),
}

impl Sandbox {
    /// Shuts this process in, for good. Call it before any thread is started: threads that exist would stay outside.
    ///
    /// Fails when a path is missing, when the process has other threads, when a limit cannot be set, and, with
    /// [`Mode::Required`], when the kernel lacks a part.
    pub fn enter(&self) -> Result<Applied, Error> {
        let threads = std::fs::read_dir("/proc/self/task")
            .map_err(Error::CountThreads)?
            .count();
        if threads > 1 {
            return Err(Error::Threads(threads));
        }
        let rules = filesystem::rules(self)?;
        limits::apply(self)?;
        let capabilities_dropped = self.tolerate(privileges::drop_all().map_err(Error::Privileges))?;
        let landlock = rules.restrict()?;
        if landlock.is_none() && self.mode == Mode::Required {
            return Err(Error::NoLandlock);
        }
        let seccomp = self.tolerate(system_calls::restrict().map_err(Error::Seccomp))?;
        Ok(Applied {
            landlock_abi: landlock.map(|landlock| landlock.abi),
            landlock_complete: landlock.is_some_and(|landlock| landlock.complete),
            seccomp,
            capabilities_dropped,
        })
    }

    /// Files about the machine that a runtime reads when it starts, and the folders of shared libraries, as far as they
    /// exist here. None of them holds a secret; add them to [`Sandbox::read_only`] for a process that loads libraries.
    pub fn machine_files() -> Vec<PathBuf> {
        MACHINE_FILES
            .iter()
            .map(PathBuf::from)
            .filter(|path| path.exists())
            .collect()
    }

    /// Whether a part is in force; its failure counts only when it is required.
    fn tolerate(&self, part: Result<(), Error>) -> Result<bool, Error> {
        match part {
            Ok(()) => Ok(true),
            Err(_) if self.mode == Mode::BestEffort => Ok(false),
            Err(error) => Err(error),
        }
    }
}
