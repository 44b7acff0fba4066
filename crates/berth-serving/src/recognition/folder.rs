//! The folder that is looked at.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use berth_domain::model::ModelFile;
use serde::de::DeserializeOwned;

use super::Error;
use crate::gate::Refusal;

/// Longest file of words (`config.json`, `berth.yaml`, …) that is read.
const TEXT_BYTES: u64 = 4 << 20;

/// The files of an upload: a folder that was unpacked, or one file that stands for itself.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    root: &'a Path,
    files: &'a [ModelFile],
    /// Where the only file lies, when it is not in the folder under its name.
    only: Option<&'a Path>,
}

impl<'a> Folder<'a> {
    /// The files of the folder at `root`, in order of path.
    pub fn unpacked(root: &'a Path, files: &'a [ModelFile]) -> Self {
        Self {
            root,
            files,
            only: None,
        }
    }

    /// One file, which lies at `path`, as if it were in the empty folder at `root`.
    pub fn single(path: &'a Path, root: &'a Path, file: &'a ModelFile) -> Self {
        Self {
            root,
            files: std::slice::from_ref(file),
            only: Some(path),
        }
    }

    /// The paths of the files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'a str> {
        self.files.iter().map(|file| file.path.as_str())
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&'a ModelFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is a file at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.file(path).is_some()
    }

    /// Where the folder lies.
    pub(super) fn root(&self) -> &'a Path {
        self.root
    }

    /// Opens the file at `path`, which is one of the folder's.
    pub(super) fn open(&self, path: &str) -> Result<File, Error> {
        let whole: PathBuf = self.only.map_or_else(|| self.root.join(path), Path::to_owned);
        File::open(whole).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// The first bytes of the file at `path`.
    pub(super) fn head(&self, path: &str, length: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.open(path)?
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(bytes)
    }

    /// The text of the file at `path`; `None` when there is none. Refuses one that is too long, or not UTF-8.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, Error> {
        let Some(file) = self.file(path) else {
            return Ok(None);
        };
        if file.size_bytes > TEXT_BYTES {
            let what = format!("`{path}` is longer than {TEXT_BYTES} bytes");
            return Err(Refusal::of_file("manifest_invalid", path, what).into());
        }
        self.refuse_pointer(path)?;
        String::from_utf8(self.head(path, TEXT_BYTES)?)
            .map(Some)
            .map_err(|_| Refusal::of_file("manifest_invalid", path, format!("`{path}` is not UTF-8")).into())
    }

    /// What the JSON file at `path` says; `None` when there is none. Refuses one that is not as it should be.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let what = format!("`{path}` cannot be read: {error}");
            Refusal::of_file("manifest_invalid", path, what).into()
        })
    }

    /// Refuses a file that only points to the one that was meant, as a checkout without Git LFS leaves it.
    pub(super) fn refuse_pointer(&self, path: &str) -> Result<(), Error> {
        const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
        let short = self.file(path).is_some_and(|file| file.size_bytes < 1024);
        if short && self.head(path, 1024)?.starts_with(POINTER) {
            let what = format!(
                "`{path}` is a Git LFS pointer, not the file itself: run `git lfs pull` and upload the folder again"
            );
            return Err(Refusal::of_file("model_file_is_pointer", path, what).into());
        }
        Ok(())
    }
}
