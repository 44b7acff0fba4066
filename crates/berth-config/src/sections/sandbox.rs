//! How strictly a process without rights must be held.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do where the kernel cannot hold a process as tightly as Berth wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxMode {
    /// Refuse to start it.
    Required,
    /// Hold it as tightly as the kernel can, and say what is missing.
    BestEffort,
}
