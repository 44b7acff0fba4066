//! Opening the library: once in a process, with an error that says what to do.

use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use libloading::{Library, Symbol};
use ort::logging::LogLevel;

use crate::onnx_runtime::OnnxRuntime;

/// What the library is called in descriptions.
pub(crate) const NAME: &str = "ONNX Runtime";

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
    /// The library failed to start.
    #[error("ONNX Runtime could not be started")]
    Start(#[source] ort::Error),
}

/// What is open in this process: the library can start one environment only, ever.
static OPEN: Mutex<Option<(PathBuf, OnnxRuntime)>> = Mutex::new(None);

pub(crate) fn open(library: &Path) -> Result<OnnxRuntime, OpenError> {
    let path = library.canonicalize().map_err(|source| OpenError::Missing {
        path: library.to_owned(),
        source,
    })?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((opened, runtime)) = &*open {
        return if *opened == path {
            Ok(runtime.clone())
        } else {
            Err(OpenError::AlreadyOpen { path: opened.clone() })
        };
    }
    let runtime = start(&path)?;
    *open = Some((path, runtime.clone()));
    Ok(runtime)
}

fn start(path: &Path) -> Result<OnnxRuntime, OpenError> {
    let version = version(path)?;
    if minor(&version).is_none_or(|minor| minor < MINIMUM_MINOR) {
        return Err(OpenError::TooOld {
            path: path.to_owned(),
            version,
        });
    }
    // What could fail here was checked by `version`, with a better message.
    let environment = ort::init_from(path)
        .map_err(|error| OpenError::Start(ort::Error::new(error.to_string())))?
        .with_name("berth")
        .with_telemetry(false)
        .with_logger(Arc::new(
            |level: LogLevel, _: &str, _: &str, location: &str, message: &str| {
                forward(level, location, message);
            },
        ))
        .build()
        .map_err(OpenError::Start)?;
    // With a logger of one's own the runtime begins with the most talkative level.
    environment.set_log_level(LogLevel::Warning);
    Ok(OnnxRuntime {
        environment,
        version: format!("{NAME} {version}"),
    })
}

/// The version that the library tells, which only ONNX Runtime can.
#[expect(unsafe_code, reason = "a library can only be asked through its symbols")]
fn version(path: &Path) -> Result<String, OpenError> {
    // SAFETY: loading runs the initializers of the library that the operator chose, which is what is wanted.
    let library = unsafe { Library::new(path) }.map_err(|source| OpenError::NotALibrary {
        path: path.to_owned(),
        source,
    })?;
    let foreign = || OpenError::NotOnnxRuntime {
        path: path.to_owned(),
    };
    // SAFETY: every version of ONNX Runtime exports this function with this signature.
    let base: Symbol<'_, unsafe extern "C" fn() -> *const ort::sys::OrtApiBase> =
        unsafe { library.get(b"OrtGetApiBase") }.map_err(|_| foreign())?;
    // SAFETY: the function takes nothing and returns a pointer to a static structure.
    let base = unsafe { base().as_ref() }.ok_or_else(foreign)?;
    // SAFETY: the version is a static string that ends with a null byte.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
    version.to_str().map(str::to_owned).map_err(|_| foreign())
}

fn minor(version: &str) -> Option<u32> {
    version.split('.').nth(1)?.parse().ok()
}

fn forward(level: LogLevel, location: &str, message: &str) {
    match level {
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", location, "{message}"),
        LogLevel::Info => tracing::debug!(target: "onnxruntime", location, "{message}"),
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "onnxruntime", location, "{message}"),
    }
}
