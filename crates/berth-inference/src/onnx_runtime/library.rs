//! Opening the library: once in a process, with an error that says what to do.

use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use libloading::Symbol;
use ort::environment::GlobalThreadPoolOptions;
use ort::logging::LogLevel;

use crate::onnx_runtime::OnnxRuntime;

/// What the library is called in descriptions.
pub(crate) const NAME: &str = "ONNX Runtime";

/// What turns the telemetry of the library off. Its official builds report to their maker unless it is set before they
/// start, and no function of theirs comes early enough.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

/// The oldest second part of the version (`1.N`) that offers what is used here.
const MINIMUM_MINOR: u32 = 24;

/// Why the ONNX Runtime library could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file, or it cannot be reached.
    #[error("there is no ONNX Runtime library at {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not a library that this machine can load.
    #[error("{} cannot be loaded as a library", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        #[source]
        source: libloading::Error,
    },
    /// It is some other library.
    #[error("{} is a library, but not ONNX Runtime", path.display())]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
    },
    /// It is too old.
    #[error(
        "{} is ONNX Runtime {version}, and {} or later is needed", path.display(), OnnxRuntime::MINIMUM_VERSION
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// Another library is open in this process.
    #[error("ONNX Runtime is already open from {}, and a process can open one only", path.display())]
    AlreadyOpen {
        /// The file that is open.
        path: PathBuf,
    },
    /// The library would report to its maker.
    #[error(
        "official builds of ONNX Runtime report to their maker unless {NO_TELEMETRY}=1 is in the environment from the start"
    )]
    Telemetry,
    /// The library failed to start.
    #[error("ONNX Runtime could not be started")]
    Start(#[source] ort::Error),
}

/// What is open in this process: the library can start one environment only, ever.
static OPEN: Mutex<Option<(PathBuf, OnnxRuntime)>> = Mutex::new(None);

/// The ONNX Runtime library in memory, not started: it has no threads yet, so that a process can still shut itself into a
/// sandbox in which the library's own files need not be reachable.
#[derive(Debug)]
pub struct Library {
    path: PathBuf,
    version: String,
    /// Keeps the library in memory.
    _handle: libloading::Library,
}

impl Library {
    /// Loads the library in this file.
    ///
    /// Fails when the file is absent, is not ONNX Runtime, or is too old.
    pub fn load(file: &Path) -> Result<Self, OpenError> {
        let path = file.canonicalize().map_err(|source| OpenError::Missing {
            path: file.to_owned(),
            source,
        })?;
        let handle = load(&path)?;
        let version = version(&handle).ok_or_else(|| OpenError::NotOnnxRuntime { path: path.clone() })?;
        if minor(&version).is_none_or(|minor| minor < MINIMUM_MINOR) {
            return Err(OpenError::TooOld { path, version });
        }
        Ok(Self {
            path,
            version,
            _handle: handle,
        })
    }

    /// The version of the library, such as `1.32.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Starts the library. Starting the same one again gives the same.
    ///
    /// Fails when another one is open in this process, when the environment does not turn its telemetry off, or when it
    /// cannot start.
    pub fn start(self) -> Result<OnnxRuntime, OpenError> {
        self.start_with(None)
    }

    /// The same for a process that holds many models: all share one pool of so many threads, where each would have its own.
    pub fn start_sharing(self, threads: usize) -> Result<OnnxRuntime, OpenError> {
        self.start_with(Some(threads))
    }

    fn start_with(self, shared_threads: Option<usize>) -> Result<OnnxRuntime, OpenError> {
        if std::env::var_os(NO_TELEMETRY).is_none_or(|value| value != "1") {
            return Err(OpenError::Telemetry);
        }
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((opened, runtime)) = &*open {
            return if *opened == self.path {
                Ok(runtime.clone())
            } else {
                Err(OpenError::AlreadyOpen { path: opened.clone() })
            };
        }
        // What could fail in this first step was checked by `load`, with a better message.
        let mut builder = ort::init_from(&self.path)
            .map_err(|error| OpenError::Start(ort::Error::new(error.to_string())))?;
        if let Some(threads) = shared_threads.filter(|&threads| threads > 1) {
            builder = builder.with_global_thread_pool(pool(threads).map_err(OpenError::Start)?);
        }
        let environment = builder
            .with_name("berth")
            .with_telemetry(false)
            .with_logger(Arc::new(
                |level: LogLevel, _: &str, _: &str, location: &str, message: &str| {
                    // The level below holds only from then on; what comes with the start is talk about devices.
                    if matches!(level, LogLevel::Fatal) {
                        tracing::error!(target: "onnxruntime", location, "{message}");
                    }
                },
            ))
            .build()
            .map_err(OpenError::Start)?;
        // Its warnings are about graphs that it rewrites and devices that are not there, and its errors quote the data of
        // requests. What fails is returned anyway, to whom it concerns.
        environment.set_log_level(LogLevel::Fatal);
        let runtime = OnnxRuntime {
            environment,
            version: format!("{NAME} {}", self.version),
        };
        *open = Some((self.path, runtime.clone()));
        Ok(runtime)
    }
}

/// Threads that do not spin: that would take the processor from others.
fn pool(threads: usize) -> ort::Result<GlobalThreadPoolOptions> {
    GlobalThreadPoolOptions::default()
        .with_intra_threads(threads)?
        .with_spin_control(false)
}

#[expect(unsafe_code, reason = "loading a library runs its initializers")]
fn load(path: &Path) -> Result<libloading::Library, OpenError> {
    // SAFETY: the library is the one that the operator chose, so its initializers are meant to run.
    unsafe { libloading::Library::new(path) }.map_err(|source| OpenError::NotALibrary {
        path: path.to_owned(),
        source,
    })
}

/// The version that the library tells, which only ONNX Runtime can.
#[expect(unsafe_code, reason = "a library can only be asked through its symbols")]
fn version(library: &libloading::Library) -> Option<String> {
    // SAFETY: every version of ONNX Runtime exports this function with this signature.
    let base: Symbol<'_, unsafe extern "C" fn() -> *const ort::sys::OrtApiBase> =
        unsafe { library.get(b"OrtGetApiBase") }.ok()?;
    // SAFETY: the function takes nothing and returns a pointer to a static structure.
    let base = unsafe { base().as_ref() }?;
    // SAFETY: the version is a static string that ends with a null byte.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
    version.to_str().ok().map(str::to_owned)
}

fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}
