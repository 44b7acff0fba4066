//! The rules of this repository that a machine can hold and the compiler does not.

mod documents;
mod floors;
mod manifests;
mod migrations;
mod names;
mod rust_text;
mod sources;
mod words;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::{command, repository};

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    /// A crate, or a file with or without a line.
    place: String,
    /// What is wrong and what to do.
    message: String,
}

impl Problem {
    fn new(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            message: message.into(),
        }
    }

    /// Lines are counted from one.
    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::new(format_args!("{path}:{line}"), message)
    }
}

/// A file of the repository, with its path from the root.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    /// What kind of file it is, by its name; empty for a name without a dot.
    fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

/// `cargo xtask tidy`: prints every broken rule, and fails when there is one.
pub(crate) fn run() -> Result<()> {
    let root = repository::root();
    let files = source_files(&root)?;
    let metadata = MetadataCommand::new()
        .current_dir(&root)
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .context("asking cargo for the crates")?;

    let mut problems = floors::check(&floors::crates(&metadata), &floors::resolved(&metadata));
    problems.extend(manifests::check(&files));
    problems.extend(migrations::check(&files));
    for file in &files {
        problems.extend(names::check(file));
        problems.extend(sources::check(file));
        problems.extend(words::check(file));
        problems.extend(documents::check(file, |path| root.join(path).exists()));
    }

    problems.sort();
    for problem in &problems {
        println!("{}: {}", problem.place, problem.message);
    }
    if !problems.is_empty() {
        bail!("tidy found {} problems", problems.len());
    }
    println!(
        "Tidy: {} files and {} crates keep the rules.",
        files.len(),
        metadata.workspace_members.len()
    );
    Ok(())
}

/// All files that git tracks or would track; those that are not text are left out.
fn source_files(root: &Path) -> Result<Vec<SourceFile>> {
    let listing = command::output(
        Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut files = Vec::new();
    for path in listing.split_terminator('\0') {
        // A file that was deleted but not yet committed is still listed.
        let Ok(bytes) = fs::read(root.join(path)) else {
            continue;
        };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}
