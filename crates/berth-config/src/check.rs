//! The means by which a section checks itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use berth_domain::secret::Secret;
use serde_json::Value;

use crate::{Origin, Problem, Process, Span};

/// A secret of more bytes than this is not a secret but a wrong file.
const LONGEST_SECRET_BYTES: u64 = 64 * 1024;

/// Where settings came from: variables by path, and the file for the rest.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) file: Option<PathBuf>,
    /// What stood in the file.
    pub(crate) in_file: Value,
    /// What all sources together say.
    pub(crate) merged: Value,
}

/// What stands at `path` (`section.field`, `section.list[0].field`).
fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    tree.pointer(&format!("/{}", path.replace(['.', '['], "/").replace(']', "")))
}

impl Origins {
    /// Where the setting at `path` came from.
    pub(crate) fn of(&self, path: &str) -> Origin {
        if let Some(name) = self.variables.get(path) {
            return Origin::Variable(name.clone());
        }
        match &self.file {
            Some(file) if at(&self.in_file, path).is_some() => Origin::File(file.clone()),
            _ => Origin::Absent,
        }
    }
}

/// Collects what is wrong with one section.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    pub(crate) process: Process,
    pub(crate) section: String,
    pub(crate) origins: &'a Origins,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    /// The check of a group of fields inside this one.
    pub(crate) fn inner(&mut self, name: &str) -> Check<'_> {
        Check {
            process: self.process,
            section: format!("{}.{name}", self.section),
            origins: self.origins,
            problems: self.problems,
        }
    }

    /// Tells a problem with a field.
    pub(crate) fn problem(&mut self, field: &str, message: impl Into<String>) {
        let path = format!("{}.{field}", self.section);
        let origin = self.origins.of(&path);
        self.problems.push(Problem {
            path,
            message: message.into(),
            origin,
        });
    }

    /// A field that must be there for this process.
    pub(crate) fn required<T>(&mut self, field: &str, value: Option<&T>) {
        if value.is_none() {
            let message = format!("`{}` needs this setting, and it is missing", self.process);
            self.problem(field, message);
        }
    }

    /// Whether any source sets `path`, which may lie in another section.
    pub(crate) fn is_set(&self, path: &str) -> bool {
        at(&self.origins.merged, path).is_some_and(|value| !value.is_null())
    }

    /// A list that must not be empty.
    pub(crate) fn some_of(&mut self, field: &str, length: usize) {
        if length == 0 {
            let message = format!("`{}` needs at least one, and there is none", self.process);
            self.problem(field, message);
        }
    }

    /// Names of which none may come twice.
    pub(crate) fn unique<'a>(&mut self, field: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.problem(field, format!("has two entries with the id `{name}`"));
            }
        }
    }

    /// A number of something of which there must be some.
    pub(crate) fn at_least_one(&mut self, field: &str, value: impl Into<u64>) {
        if value.into() == 0 {
            self.problem(field, "must be at least 1");
        }
    }

    /// A length of time that must not be nothing.
    pub(crate) fn some_time(&mut self, field: &str, value: Span) {
        if value.is_zero() {
            self.problem(field, "must be longer than zero");
        }
    }

    /// A path that must not depend on the folder in which a process happens to start.
    pub(crate) fn absolute(&mut self, field: &str, path: &Path) {
        if !path.is_absolute() {
            self.problem(field, "must be an absolute path");
        }
    }

    /// A name that becomes part of keys, queues or subjects elsewhere.
    pub(crate) fn plain_name(&mut self, field: &str, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            self.problem(field, "must have 1 to 64 letters, digits, `-`, `_`, `.` and `:`");
        }
    }

    /// A URL with one of the given schemes.
    pub(crate) fn url(&mut self, field: &str, url: Option<&Secret>, schemes: &[&str]) {
        let Some(url) = url else { return };
        let fits = schemes.iter().any(|scheme| {
            url.expose()
                .strip_prefix(scheme)
                .and_then(|rest| rest.strip_prefix("://"))
                .is_some_and(|rest| !rest.is_empty())
        });
        if !fits {
            self.problem(
                field,
                format!(
                    "must be a URL that begins with `{}://`",
                    schemes.join("://` or `")
                ),
            );
        }
    }

    /// A secret and its twin: reads the file where that is given, and refuses both at once.
    pub(crate) fn secret(&mut self, field: &str, secret: &mut Option<Secret>, file: Option<&Path>) {
        let Some(file) = file else { return };
        let twin = format!("{field}_file");
        if secret.is_some() {
            self.problem(
                &twin,
                format!("`{field}` is set as well: set exactly one of both"),
            );
            return;
        }
        match read_secret(file) {
            Ok(text) => *secret = Some(text),
            Err(message) => self.problem(&twin, message),
        }
    }
}

/// The content of a file that holds a secret, without the line break at its end.
fn read_secret(file: &Path) -> Result<Secret, String> {
    let failed = |error: std::io::Error| format!("`{}` cannot be read: {error}", file.display());
    if fs::metadata(file).map_err(failed)?.len() > LONGEST_SECRET_BYTES {
        return Err(format!("`{}` is too long for a secret", file.display()));
    }
    let text = fs::read_to_string(file).map_err(failed)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("`{}` is empty", file.display()));
    }
    Ok(Secret::new(text))
}
