//! The log files of the servers.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::Error;

/// How much of a log is shown with an error.
const TAIL_BYTES: u64 = 4096;

/// Opens a log for adding to it, and tells where its new part begins.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Error> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::file("opening the log", path))?;
    let length = file
        .metadata()
        .map_err(Error::file("opening the log", path))?
        .len();
    Ok((file, length))
}

/// The last lines that were written to a log from `begin` on; the reason when they cannot be read.
///
/// It only ever illustrates another error, so it does not fail itself.
pub(crate) fn tail(path: &Path, begin: u64) -> String {
    match read_tail(path, begin) {
        Ok(text) => text,
        Err(error) => format!("(`{}` cannot be read: {error})", path.display()),
    }
}

fn read_tail(path: &Path, begin: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(begin.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
