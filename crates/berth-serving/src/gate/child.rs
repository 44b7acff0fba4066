//! The child's side of the gate: runs in the sandbox, reads one upload, and says what it is.

use std::error::Error as StdError;
use std::io::{self, Read, Write};
use std::path::Path;

use berth_artifacts::archive;
use berth_domain::model::ModelFile;
use serde_json::Value;

use super::{GRAPH_NAME, Refusal, Report, Task, Verdict};
use crate::recognition::{self, Folder, Recognized};

/// Reads a [`Task`] from `input`, lets `enter` shut this process in, judges the upload, and writes the [`Verdict`] as one
/// line to `output`.
///
/// Fails only when the task cannot be read or the verdict not be written; a failure of `enter` is a verdict.
pub fn serve<E: StdError + 'static>(
    input: impl Read,
    mut output: impl Write,
    enter: impl FnOnce(&Task) -> Result<(), E>,
) -> io::Result<()> {
    let task: Task = serde_json::from_reader(input)?;
    let verdict = match enter(&task) {
        Ok(()) => judge(&task),
        Err(error) => Verdict::Failed(chain(&error)),
    };
    serde_json::to_writer(&mut output, &verdict)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Judges the upload of `task`, in this process.
pub fn judge(task: &Task) -> Verdict {
    match inspect(task) {
        Ok(report) => Verdict::Ok(Box::new(report)),
        Err(recognition::Error::Refused(refusal)) => Verdict::Refused(refusal),
        Err(error @ recognition::Error::Io { .. }) => Verdict::Failed(chain(&error)),
    }
}

fn inspect(task: &Task) -> Result<Report, recognition::Error> {
    match archive::recognize(&task.input).map_err(refused)? {
        Some(kind) => inspect_folder(task, kind),
        None => inspect_file(task),
    }
}

fn inspect_folder(task: &Task, kind: archive::Kind) -> Result<Report, recognition::Error> {
    let unpacked = archive::unpack(&task.input, kind, &task.output, &task.limits.unpack).map_err(refused)?;
    let folder = Folder::unpacked(&unpacked.root, &unpacked.files);
    let found = recognition::recognize(&folder, &task.limits.graph)?;
    report(found, unpacked.files, Some(&unpacked.root))
}

fn inspect_file(task: &Task) -> Result<Report, recognition::Error> {
    if named_as_archive(&task.name) {
        let text = "it is named like an archive and is none: was it cut off, or is it something else?";
        return Err(Refusal::new("archive_malformed", text).into());
    }
    let file = ModelFile {
        path: GRAPH_NAME.to_owned(),
        digest: task.digest,
        size_bytes: task.size_bytes,
    };
    // The output folder is empty, and so nothing lies beside the file.
    let folder = Folder::single(&task.input, &task.output, &file);
    let found = recognition::recognize(&folder, &task.limits.graph)?;
    report(found, vec![file], None)
}

fn report(
    found: Recognized,
    files: Vec<ModelFile>,
    unpacked: Option<&Path>,
) -> Result<Report, recognition::Error> {
    let report = Report {
        manifest: found.manifest,
        files,
        graphs: vec![found.graph],
        warnings: found.warnings,
        unpacked: unpacked.map(Path::to_owned),
    };
    // What the folder states comes from many files, whose formats can all write a zero character; no database keeps one.
    let told = serde_json::to_value(&report).map_err(|error| recognition::Error::Io {
        path: "the report".to_owned(),
        source: error.into(),
    })?;
    if holds_zero(&told) {
        let what = "a text that the folder states holds a zero character (U+0000)";
        return Err(Refusal::new("manifest_invalid", what).into());
    }
    Ok(report)
}

fn holds_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_zero),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key.contains('\0') || holds_zero(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn named_as_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".zip", ".tar.gz", ".tgz"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

fn refused(error: archive::Error) -> recognition::Error {
    match (error.code(), error) {
        (Some(code), error) => Refusal::new(code, error.to_string()).into(),
        (None, archive::Error::Io(source)) => recognition::Error::Io {
            path: "the upload".to_owned(),
            source,
        },
        // `code` is missing for `Io` alone.
        (None, error) => Refusal::new("archive_malformed", error.to_string()).into(),
    }
}

/// An error with all its causes, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
