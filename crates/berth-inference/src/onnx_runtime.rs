//! ONNX Runtime, loaded from a library file at run time.

mod faults;
mod library;
mod messages;
mod providers;
mod session;
mod values;

use std::path::Path;

use ort::environment::Environment;

use crate::backend::{Backend, Model, Options, Session};
use crate::error::Error;

pub use library::{Library, OpenError};

/// The ONNX Runtime library, opened. A process opens one; clones are the same.
#[derive(Debug, Clone)]
pub struct OnnxRuntime {
    environment: Environment,
    version: String,
}

impl OnnxRuntime {
    /// The oldest library that works.
    pub const MINIMUM_VERSION: &'static str = "1.24";

    /// Opens the library in this file. Opening the same one again gives the same.
    ///
    /// Fails when the file is absent, is not ONNX Runtime, is too old, or when another one is open in this process.
    pub fn open(library: &Path) -> Result<Self, OpenError> {
        Library::load(library)?.start()
    }

    /// The version of the library, such as `1.32.0`.
    pub fn library_version(&self) -> &str {
        self.version
            .strip_prefix(library::NAME)
            .map_or(&self.version, str::trim)
    }

    /// The execution providers that the library was built with, as it names them.
    pub fn available_providers(&self) -> Result<Vec<String>, Error> {
        providers::available()
    }
}

impl Backend for OnnxRuntime {
    fn version(&self) -> &str {
        &self.version
    }

    fn load(&self, model: &Model, options: &Options) -> Result<Box<dyn Session>, Error> {
        let session = session::load(&self.environment, model, options)?;
        // A loaded model leaves many freed pages behind: the file, the graph before it was optimized.
        crate::memory::release_free_pages();
        Ok(Box::new(session))
    }
}
