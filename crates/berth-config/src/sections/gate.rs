//! The check of uploaded files.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{SandboxMode, Size, Span};

/// The check of uploaded files.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Program to run instead of this one; for tests and unusual packaging.
    #[schemars(example = "/usr/lib/berth/berth")]
    pub program: Option<PathBuf>,
    /// `required` or `best_effort`: what happens where the kernel lacks Landlock or seccomp.
    pub sandbox: SandboxMode,
    /// Uploads checked at the same time by one process; the next ones wait. Each takes a core.
    pub concurrency: u16,
    /// How long one check may take, unpacking included.
    pub timeout: Span,
    /// Memory that one check may use. Graphs are skimmed without their weights, so large models need no more.
    pub memory: Size,
    /// Bytes that an archive may unpack to.
    pub unpacked_size: Size,
    /// Files that an archive may hold.
    pub files: u32,
    /// How many times its packed size an entry may unpack to. Weights rarely pass 3; a bomb passes 1000.
    pub ratio: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            program: None,
            sandbox: SandboxMode::Required,
            concurrency: 2,
            timeout: Span::minutes(5),
            memory: Size::mib(64),
            unpacked_size: Size::gib(16),
            files: 4_096,
            ratio: 200,
        }
    }
}

impl Section for Gate {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !check.process.serves_http() {
            return;
        }
        check.at_least_one("concurrency", self.concurrency);
        check.at_least_one("files", self.files);
        check.at_least_one("ratio", self.ratio);
        check.at_least_one("unpacked_size", self.unpacked_size.get());
        check.some_time("timeout", self.timeout);
        if self.memory < Size::mib(16) {
            check.problem("memory", "must be at least 16MiB");
        }
        if let Some(program) = &self.program {
            check.absolute("program", program);
        }
    }
}
