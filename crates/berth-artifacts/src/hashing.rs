//! Digests computed while bytes pass.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use berth_domain::digest::Sha256;
use sha2::Digest as _;

/// How many bytes are read or written at a time.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// A digest in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher(sha2::Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Sha256 {
        Sha256::from_bytes(self.0.finalize().into())
    }

    /// Takes in the rest of `file`; tells how many bytes that was.
    pub(crate) fn read(&mut self, file: &mut File) -> io::Result<u64> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut total = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    total += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The digest of the file at `path`, and its size.
pub(crate) fn digest_file(path: &Path) -> io::Result<(Sha256, u64)> {
    let mut hasher = Hasher::default();
    let size_bytes = hasher.read(&mut File::open(path)?)?;
    Ok((hasher.finish(), size_bytes))
}
