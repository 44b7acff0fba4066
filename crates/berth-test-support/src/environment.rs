//! What `cargo xtask test` says to the tests by environment variables.

use std::env;
use std::path::PathBuf;

/// A variable that only `cargo xtask test` or `cargo xtask servers` sets is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not set: run the tests by `cargo xtask test` (or see `cargo xtask servers`)")]
pub struct Missing {
    /// The variable.
    pub name: &'static str,
}

/// The value of a variable that the tests cannot do without.
pub fn required(name: &'static str) -> Result<String, Missing> {
    env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or(Missing { name })
}

/// The built `berth`.
pub fn berth_program() -> Result<PathBuf, Missing> {
    required("BERTH_TEST_BIN").map(PathBuf::from)
}

/// The built `berth-worker`.
pub fn worker_program() -> Result<PathBuf, Missing> {
    required("BERTH_TEST_WORKER_BIN").map(PathBuf::from)
}

/// The library of ONNX Runtime.
pub fn onnxruntime_library() -> Result<PathBuf, Missing> {
    required("BERTH_TEST_ONNXRUNTIME").map(PathBuf::from)
}

/// A folder with `model.onnx` and `tokenizer.json` of all-MiniLM-L6-v2 (int8).
pub fn minilm_folder() -> Result<PathBuf, Missing> {
    required("BERTH_TEST_MINILM").map(PathBuf::from)
}

/// A Python interpreter that has the client libraries of `tests/clients/requirements.txt`.
pub fn python_program() -> Result<PathBuf, Missing> {
    required("BERTH_TEST_PYTHON").map(PathBuf::from)
}

/// The program of SeaweedFS, an S3 server.
pub fn seaweedfs_program() -> Result<PathBuf, Missing> {
    required("BERTH_TEST_SEAWEEDFS").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_says_which_command_sets_it() {
        let error = required("BERTH_TEST_NO_SUCH_VARIABLE").expect_err("nobody sets this");
        let text = error.to_string();
        assert!(
            text.contains("BERTH_TEST_NO_SUCH_VARIABLE") && text.contains("cargo xtask test"),
            "{text}"
        );
    }
}
