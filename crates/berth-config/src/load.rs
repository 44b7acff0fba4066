//! From sources to checked settings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde_json::{Map, Value};

use crate::check::Origins;
use crate::{Config, Problem, Problems, Process, environment, keys, schema, sections};

/// Names the settings file where `--config` does not.
const FILE_VARIABLE: &str = "BERTH_CONFIG";

/// Where settings are read from; later ones win: presets, the file, the environment.
#[derive(Debug, Clone, Default)]
pub struct Source {
    preset: Map<String, Value>,
    file: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
}

impl Source {
    /// The settings of this process: `file`, or the file that `BERTH_CONFIG` names, or none; and the environment.
    pub fn from_process(file: Option<PathBuf>) -> Self {
        let named = || {
            env::var_os(FILE_VARIABLE)
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
        };
        Self {
            preset: Map::new(),
            file: file.or_else(named),
            variables: env::vars_os().collect(),
        }
    }

    /// With a settings file.
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// With an environment variable.
    pub fn with_variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// With a value that stands in for a default: file and environment win over it. `section` and `field` are names as
    /// in the file.
    pub fn with_preset(mut self, section: &str, field: &str, value: impl Into<Value>) -> Self {
        let section = self
            .preset
            .entry(section)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(fields) = section {
            fields.insert(field.to_owned(), value.into());
        }
        self
    }

    /// The settings file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// Why there are no settings to start with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings file could not be read.
    #[error("reading the settings file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The settings file is not TOML.
    #[error("the settings file `{}` is not TOML: line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said; it quotes nothing.
        message: String,
    },
    /// Settings are wrong or missing.
    #[error("the settings do not fit: {0}")]
    Problems(Problems),
}

/// Reads the settings for one process and checks them whole: secrets are read from their files, and every problem is
/// told at once.
///
/// Fails when the file cannot be read or is not TOML, and when any setting is unknown, wrong or missing.
pub fn load(source: &Source, process: Process) -> Result<Config, Error> {
    let schema = schema::schema_document();
    let mut problems = Vec::new();
    let mut origins = Origins::default();
    let mut tree = Value::Object(source.preset.clone());
    if let Some(file) = &source.file {
        origins.in_file = read_file(file)?;
        origins.file = Some(file.clone());
        merge(&mut tree, origins.in_file.clone());
    }
    environment::overlay(&mut tree, &source.variables, &schema, &mut origins, &mut problems);
    origins.merged = tree.clone();
    keys::take_unknown(&mut tree, &schema, "", &origins, &mut problems);
    let mut config = read_tree(tree, &schema, &origins, &mut problems);
    sections::settle(&mut config, process, &origins, &mut problems);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(Error::Problems(Problems(problems)))
    }
}

fn read_file(path: &Path) -> Result<Value, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let begin = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(begin).filter(|&byte| byte == b'\n').count() + 1;
        Error::Syntax {
            path: path.to_owned(),
            line,
            message: error.message().to_owned(),
        }
    })
}

/// Lays `above` over `below`, table by table.
fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                merge(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// Turns the tree into settings. A value of the wrong type is told and taken out, and reading begins anew, so that all
/// of them are told.
fn read_tree(mut tree: Value, schema: &Value, origins: &Origins, problems: &mut Vec<Problem>) -> Config {
    loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(&tree) {
            Ok(config) => return config,
            Err(error) => error,
        };
        let place = place(error.path());
        let names: Vec<String> = place.iter().filter_map(Step::name).collect();
        let secret = schema::find(schema, &names).is_some_and(schema::is_secret);
        let message = if secret {
            "expected text".to_owned()
        } else {
            error.inner().to_string()
        };
        let path = error.path().to_string();
        problems.push(Problem {
            origin: origins.of(&path),
            path,
            message,
        });
        if !take(&mut tree, &place) {
            return Config::default();
        }
    }
}

/// One step down the tree.
#[derive(Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn name(&self) -> Option<String> {
        match self {
            Self::Key(name) => Some(name.clone()),
            Self::Index(_) => None,
        }
    }
}

fn place(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => Some(Step::Key(key.clone())),
            serde_path_to_error::Segment::Seq { index } => Some(Step::Index(*index)),
            _ => None,
        })
        .collect()
}

/// Takes what stands at `place` out of the tree. Says whether there was something.
fn take(tree: &mut Value, place: &[Step]) -> bool {
    match (place, tree) {
        ([Step::Key(key)], Value::Object(table)) => table.remove(key).is_some(),
        ([Step::Index(index)], Value::Array(list)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        ([Step::Key(key), rest @ ..], Value::Object(table)) => {
            table.get_mut(key).is_some_and(|inner| take(inner, rest))
        }
        ([Step::Index(index), rest @ ..], Value::Array(list)) => {
            list.get_mut(*index).is_some_and(|inner| take(inner, rest))
        }
        _ => false,
    }
}
