//! What is wrong with the settings, told all at once.

use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// Nowhere: it is missing, or a default is in force.
    Absent,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as `section.field`.
    pub path: String,
    /// What is wrong, in words that never quote a secret.
    pub message: String,
    /// Where the setting came from.
    pub origin: Origin,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            message,
            origin,
        } = self;
        match origin {
            Origin::File(file) => write!(out, "`{path}`: {message} (in {})", file.display()),
            Origin::Variable(name) => write!(out, "`{path}`: {message} (in {name})"),
            Origin::Absent => write!(out, "`{path}`: {message}"),
        }
    }
}

/// Everything that is wrong; at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(out, "{one}"),
            many => {
                write!(out, "{} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(out, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
