//! What a process that holds a model may still reach.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use berth_sandbox::{Applied, Error, Mode, Sandbox};

use super::SandboxMode;

/// What the machine tells about itself, which the library looks up to choose its kernels. Named one by one, since the rest
/// of these folders is nobody's business.
const MACHINE: [&str; 4] = [
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
];

/// What an NVIDIA driver is reached by.
const DRIVER: &str = "/proc/driver/nvidia";

/// How a process is shut in.
#[derive(Debug)]
pub(crate) struct Confinement<'a> {
    /// The folder with the model's files.
    pub(crate) folder: Option<&'a Path>,
    /// The library; it is loaded already, and loads its providers from beside it when a model asks for one.
    pub(crate) library: &'a Path,
    /// Whether the model runs on a GPU, whose driver it must reach then.
    pub(crate) gpu: bool,
    pub(crate) memory_bytes: Option<u64>,
    /// Up to which that may be raised from outside.
    pub(crate) memory_most_bytes: Option<u64>,
    pub(crate) mode: SandboxMode,
}

impl Confinement<'_> {
    /// Shuts this process in, for good. It must not have other threads yet.
    pub(crate) fn enter(&self) -> Result<Applied, Error> {
        let mut read_only = vec![PathBuf::from("/proc/self")];
        read_only.extend(self.folder.map(Path::to_owned));
        read_only.extend(self.library.parent().map(Path::to_owned));
        read_only.extend(MACHINE.iter().map(PathBuf::from).filter(|path| path.exists()));
        let mut devices = Vec::new();
        if self.gpu {
            devices = gpu_devices(Path::new("/dev"));
            read_only.extend(Some(PathBuf::from(DRIVER)).filter(|path| path.exists()));
        }
        let sandbox = Sandbox {
            read_only,
            devices,
            memory_data_bytes: self.memory_bytes,
            memory_data_most_bytes: self.memory_most_bytes,
            file_size_bytes: (!logs_to_a_file()).then_some(0),
            mode: match self.mode {
                SandboxMode::Required => Mode::Required,
                SandboxMode::BestEffort => Mode::BestEffort,
            },
            ..Sandbox::default()
        };
        sandbox.enter()
    }
}

/// The devices of NVIDIA's driver: `nvidia0`, `nvidiactl`, `nvidia-uvm`…
fn gpu_devices(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().filter(|entry| {
        let is_device = entry.file_type().is_ok_and(|kind| !kind.is_dir());
        is_device && entry.file_name().to_string_lossy().starts_with("nvidia")
    });
    paths.map(|entry| entry.path()).collect()
}

/// Whether what this process logs goes to a file of the node: that one must be able to grow. Nothing else is ever written.
fn logs_to_a_file() -> bool {
    let log = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    log.and_then(|log| log.metadata())
        .is_ok_and(|about| about.is_file())
}
