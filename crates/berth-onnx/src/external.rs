//! Weights in files of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::shown;
use crate::tensor::{External, Tensor};
use crate::{Error, Limits};

/// The folder of a model, as far as its graph may reach into it.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Where the graph lies in it: parts of the path.
    directory: Vec<String>,
    most: usize,
    /// Files that were named so far, by path in the folder, with their lengths.
    files: BTreeMap<String, u64>,
    /// How many tensors have named one.
    tensors: u64,
}

impl Folder {
    /// The folder at `root`, for the graph at the relative path `graph`.
    pub(crate) fn new(root: &Path, graph: &str, limits: &Limits) -> Self {
        let mut directory: Vec<_> = graph.split('/').map(str::to_owned).collect();
        directory.pop();
        Self {
            root: root.to_owned(),
            directory,
            most: limits.external_files,
            files: BTreeMap::new(),
            tensors: 0,
        }
    }

    /// Judges where the values of `tensor` lie.
    pub(crate) fn check(&mut self, tensor: &Tensor) -> Result<(), Error> {
        let Some(external) = &tensor.external else {
            return Ok(());
        };
        self.tensors += 1;
        let path = self.resolve(tensor, external)?;
        let length = match self.files.get(&path) {
            Some(&length) => length,
            None => self.open(tensor, path)?,
        };
        match external.offset.checked_add(external.length) {
            Some(end) if end <= length => Ok(()),
            end => Err(Error::ExternalDataOutOfRange {
                tensor: shown(&tensor.name),
                location: shown(&external.location),
                end: end.unwrap_or(u64::MAX),
                length,
            }),
        }
    }

    /// How many tensors have their values in other files.
    pub(crate) fn tensors(&self) -> u64 {
        self.tensors
    }

    /// Opens the file with the values of `tensor`, which has been checked, at their first byte.
    pub(crate) fn read(&self, tensor: &Tensor, external: &External) -> Result<io::Take<File>, Error> {
        let mut file = File::open(self.root.join(self.resolve(tensor, external)?))?;
        file.seek(SeekFrom::Start(external.offset))?;
        Ok(file.take(external.length))
    }

    /// How many bytes the files have that were named.
    pub(crate) fn bytes(&self) -> u64 {
        self.files
            .values()
            .fold(0, |sum, &length| sum.saturating_add(length))
    }

    /// The files that were named.
    pub(crate) fn into_files(self) -> Vec<String> {
        self.files.into_keys().collect()
    }

    /// The path in the folder that `external` means. It must be plain: no way up, no other root, and none of the
    /// runtime's own marks (`*/_ORT_MEM_ADDR_/*` would make it read from an address in its memory).
    fn resolve(&self, tensor: &Tensor, external: &External) -> Result<String, Error> {
        let location = &external.location;
        let escapes = || Error::ExternalDataEscapes {
            tensor: shown(&tensor.name),
            location: shown(location),
        };
        let foreign = location.starts_with('/')
            || location.contains(['\\', ':', '*', '\0'])
            || location.contains("_ORT_MEM_ADDR_");
        let mut parts: Vec<&str> = self.directory.iter().map(String::as_str).collect();
        for part in location.split('/') {
            match part {
                "." | "" => {}
                ".." => return Err(escapes()),
                part => parts.push(part),
            }
        }
        if foreign || location.is_empty() || parts.len() == self.directory.len() {
            return Err(escapes());
        }
        Ok(parts.join("/"))
    }

    /// Looks at a file for the first time; returns its length.
    fn open(&mut self, tensor: &Tensor, path: String) -> Result<u64, Error> {
        if self.files.len() == self.most {
            return Err(Error::TooLarge {
                what: "files with weights",
                limit: self.most as u64,
            });
        }
        let mut whole = self.root.clone();
        let mut length = None;
        for part in path.split('/') {
            whole.push(part);
            // Links are not followed, wherever they point.
            length = std::fs::symlink_metadata(&whole).ok().and_then(|metadata| {
                metadata
                    .is_file()
                    .then_some(metadata.len())
                    .or_else(|| metadata.is_dir().then_some(0))
            });
            if length.is_none() {
                break;
            }
        }
        match length {
            Some(length) if whole.is_file() => {
                self.files.insert(path, length);
                Ok(length)
            }
            _ => Err(Error::ExternalDataMissing {
                tensor: shown(&tensor.name),
                location: shown(&path),
            }),
        }
    }
}
