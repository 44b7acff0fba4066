//! A stream becomes a file: hashed and written in large pieces, off the threads that serve requests.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use berth_domain::digest::Sha256;
use bytes::Bytes;

use crate::blocking::blocking;
use crate::error::Error;
use crate::hashing::{CHUNK_BYTES, Hasher};

/// Writes a file and computes its digest, in constant memory.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Absent while a piece is on its way to the disk, and for ever when that failed or was given up.
    parts: Option<(File, Hasher)>,
    path: PathBuf,
    pending: Vec<Bytes>,
    pending_bytes: usize,
}

impl Writer {
    /// Goes on at the end of `file`, whose bytes so far `hasher` has seen. `path` is for errors only.
    pub(crate) fn new(file: File, hasher: Hasher, path: impl Into<PathBuf>) -> Self {
        Self {
            parts: Some((file, hasher)),
            path: path.into(),
            pending: Vec::new(),
            pending_bytes: 0,
        }
    }

    pub(crate) async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.pending_bytes += chunk.len();
        self.pending.push(chunk);
        if self.pending_bytes >= CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Makes the bytes safe on the disk; gives their digest.
    pub(crate) async fn finish(mut self) -> Result<Sha256, Error> {
        self.flush().await?;
        let (file, hasher) = self.parts.take().ok_or_else(|| broken(&self.path))?;
        let path = self.path;
        blocking(move || {
            file.sync_all().map_err(Error::disk("write to the disk", path))?;
            Ok(hasher.finish())
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let (mut file, mut hasher) = self.parts.take().ok_or_else(|| broken(&self.path))?;
        let path = self.path.clone();
        let parts = blocking(move || {
            for chunk in pending {
                hasher.update(&chunk);
                file.write_all(&chunk).map_err(Error::disk("write", &path))?;
            }
            Ok((file, hasher))
        })
        .await?;
        self.parts = Some(parts);
        Ok(())
    }
}

fn broken(path: &Path) -> Error {
    Error::disk("go on after a failure in", path)(io::ErrorKind::BrokenPipe.into())
}
