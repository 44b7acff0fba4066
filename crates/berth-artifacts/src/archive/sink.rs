//! Where entries go: files in a folder, counted against the limits and digested on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use berth_domain::digest::Sha256;
use berth_domain::model::ModelFile;

use super::path::EntryPath;
use super::{Error, FREE_BYTES, UnpackLimits, Unpacked};
use crate::hashing::Hasher;

/// How much is copied at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// A folder that is being filled.
pub(super) struct Sink<'a> {
    into: &'a Path,
    pub(super) limits: &'a UnpackLimits,
    /// What may come out altogether, and what the archive's size allows.
    proportionate_bytes: u64,
    entries: u64,
    total_bytes: u64,
    files: BTreeMap<String, (Sha256, u64)>,
    folders: BTreeSet<String>,
    buffer: Vec<u8>,
}

impl<'a> Sink<'a> {
    /// A sink for an archive of `packed_bytes`.
    pub(super) fn new(into: &'a Path, packed_bytes: u64, limits: &'a UnpackLimits) -> Self {
        Self {
            into,
            limits,
            proportionate_bytes: packed_bytes.saturating_mul(limits.ratio).max(FREE_BYTES),
            entries: 0,
            total_bytes: 0,
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    /// Counts one entry of the archive, wanted or not.
    pub(super) fn count_entry(&mut self) -> Result<(), Error> {
        self.entries += 1;
        if self.entries <= self.limits.entries {
            Ok(())
        } else {
            Err(Error::TooManyFiles(self.limits.entries))
        }
    }

    /// Judges sizes that an archive declares, before anything is written.
    pub(super) fn check_declared(&self, largest: (&str, u64), total: u64) -> Result<(), Error> {
        self.check_file(largest.0, largest.1)?;
        self.check_total(total)
    }

    /// Makes a folder; that it is there already is fine.
    pub(super) fn folder(&mut self, path: &EntryPath) -> Result<(), Error> {
        for folder in path.folders().chain([path.text()]) {
            self.make_folder(folder)?;
        }
        Ok(())
    }

    /// Writes a file of what `content` gives.
    pub(super) fn file(&mut self, path: &EntryPath, content: &mut dyn Read) -> Result<(), Error> {
        for folder in path.folders() {
            self.make_folder(folder)?;
        }
        let text = path.text();
        if self.files.contains_key(&text) || self.folders.contains(&text) {
            return Err(Error::DuplicatePath(format!("`{text}`")));
        }
        // Made anew or not at all: an existing file is never opened, and a link never followed.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.into.join(&text))
            .map_err(Error::Io)?;
        let mut hasher = Hasher::default();
        let mut size_bytes = 0;
        loop {
            let count = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::reading(error)),
            };
            size_bytes += count as u64;
            self.total_bytes += count as u64;
            self.check_file(&text, size_bytes)?;
            self.check_total(self.total_bytes)?;
            hasher.update(&self.buffer[..count]);
            file.write_all(&self.buffer[..count]).map_err(Error::Io)?;
        }
        self.files.insert(text, (hasher.finish(), size_bytes));
        Ok(())
    }

    /// The size of a file that was written.
    pub(super) fn size_of(&self, path: &EntryPath) -> Option<u64> {
        self.files.get(&path.text()).map(|(_, size_bytes)| *size_bytes)
    }

    /// What came out.
    pub(super) fn finish(self) -> Result<Unpacked, Error> {
        if self.files.is_empty() {
            return Err(Error::Empty);
        }
        let top = self.only_folder();
        let files = self
            .files
            .into_iter()
            .map(|(path, (digest, size_bytes))| ModelFile {
                path: match &top {
                    Some(top) => path[top.len() + 1..].to_owned(),
                    None => path,
                },
                digest,
                size_bytes,
            });
        Ok(Unpacked {
            files: files.collect(),
            root: top.map_or_else(|| self.into.to_owned(), |top| self.into.join(top)),
        })
    }

    /// The folder that everything lies in, if there is one.
    fn only_folder(&self) -> Option<String> {
        let mut tops = self
            .files
            .keys()
            .map(|path| path.split_once('/').map(|(top, _)| top));
        let first = tops.next()??;
        tops.all(|top| top == Some(first)).then(|| first.to_owned())
    }

    fn make_folder(&mut self, path: String) -> Result<(), Error> {
        if self.folders.contains(&path) {
            return Ok(());
        }
        if self.files.contains_key(&path) {
            return Err(Error::DuplicatePath(format!("`{path}`")));
        }
        DirBuilder::new()
            .mode(0o700)
            .create(self.into.join(&path))
            .map_err(Error::Io)?;
        self.folders.insert(path);
        Ok(())
    }

    fn check_file(&self, path: &str, size_bytes: u64) -> Result<(), Error> {
        if size_bytes <= self.limits.file_bytes {
            Ok(())
        } else {
            Err(Error::FileTooLarge {
                path: super::path::shown(path),
                limit: self.limits.file_bytes,
            })
        }
    }

    fn check_total(&self, total_bytes: u64) -> Result<(), Error> {
        if total_bytes > self.limits.total_bytes {
            Err(Error::TooLarge(self.limits.total_bytes))
        } else if total_bytes > self.proportionate_bytes {
            Err(Error::Bomb(self.limits.ratio))
        } else {
            Ok(())
        }
    }
}
