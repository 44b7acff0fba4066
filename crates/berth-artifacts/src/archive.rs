//! Unpacks uploads: `.zip` and `.tar.gz` that strangers made.
//!
//! Memory is bounded whatever the archive says, and nothing is written outside the folder: every path is checked part
//! by part, links and special files are refused, each file is made anew (never opened), and what comes out is limited
//! in number, size and proportion to what went in. Runs synchronously, in the sandboxed process that judges uploads.

mod path;
mod sink;
mod tar_gz;
mod zip_archive;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use berth_domain::model::ModelFile;
use serde::{Deserialize, Serialize};

use self::sink::Sink;

/// An archive format that can be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A zip archive, zip64 included.
    Zip,
    /// A tar archive compressed by gzip.
    TarGz,
}

/// What may come out of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnpackLimits {
    /// Entries: files and folders.
    pub entries: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes that may come out for each byte of the archive. Small archives may yield [`FREE_BYTES`] in any case.
    pub ratio: u64,
    /// Bytes of a path.
    pub path_bytes: usize,
    /// Folders inside folders.
    pub depth: usize,
}

/// What even a small archive may yield: a megabyte of zeros is nobody's bomb.
pub const FREE_BYTES: u64 = 64 << 20;

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            entries: 4096,
            file_bytes: 16 << 30,
            total_bytes: 32 << 30,
            ratio: 200,
            path_bytes: 512,
            depth: 16,
        }
    }
}

/// What came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// The folder that the paths below are relative to. If everything lay in one folder of the archive, it is that one.
    pub root: PathBuf,
    /// The files, in order of path.
    pub files: Vec<ModelFile>,
}

/// Why an archive is refused, or could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed or is full; this says nothing about the archive.
    #[error("the archive could not be unpacked to the disk")]
    Io(#[source] io::Error),
    /// The archive ends in the middle of something.
    #[error("the archive ends too early: was the upload cut off?")]
    Truncated,
    /// Not what the format allows.
    #[error("the archive is damaged: {0}")]
    Malformed(String),
    /// Another format, or a part of the format that is not read.
    #[error("{0} cannot be unpacked: make a .zip (stored or deflated) or a .tar.gz")]
    Unsupported(String),
    /// Encrypted.
    #[error("`{0}` is encrypted: make the archive without a password")]
    Encrypted(String),
    /// A path that leads outside.
    #[error("`{0}` leads outside the archive")]
    PathEscapes(String),
    /// A path that is not allowed for another reason.
    #[error("`{path}` is not a fit name for a file: {what}")]
    PathInvalid {
        /// The path.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two entries for one path, or a file where a folder should be.
    #[error("the archive has two entries for {0}")]
    DuplicatePath(String),
    /// A symbolic or hard link.
    #[error("`{0}` is a link: put the file itself into the archive")]
    LinkRefused(String),
    /// A device, a pipe or a socket.
    #[error("`{0}` is neither a file nor a folder")]
    SpecialFileRefused(String),
    /// Too many entries.
    #[error("the archive has more than {0} files and folders")]
    TooManyFiles(u64),
    /// A file that is too large.
    #[error("`{path}` is larger than {limit} bytes")]
    FileTooLarge {
        /// Which.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// Too much altogether.
    #[error("the archive holds more than {0} bytes")]
    TooLarge(u64),
    /// Far more comes out than went in.
    #[error("the archive unpacks to more than {0} times its size")]
    Bomb(u64),
    /// No file at all.
    #[error("the archive holds no file")]
    Empty,
}

impl Error {
    /// The stable code of a refusal; `None` when the disk failed, which is nobody's refusal.
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io(_) => return None,
            Self::Truncated => "archive_truncated",
            Self::Malformed(_) => "archive_malformed",
            Self::Unsupported(_) => "archive_unsupported",
            Self::Encrypted(_) => "archive_encrypted",
            Self::PathEscapes(_) => "archive_path_escapes",
            Self::PathInvalid { .. } => "archive_path_invalid",
            Self::DuplicatePath(_) => "archive_duplicate_path",
            Self::LinkRefused(_) => "archive_link_refused",
            Self::SpecialFileRefused(_) => "archive_special_file_refused",
            Self::TooManyFiles(_) => "archive_too_many_files",
            Self::FileTooLarge { .. } => "archive_file_too_large",
            Self::TooLarge(_) => "archive_too_large",
            Self::Bomb(_) => "archive_bomb",
            Self::Empty => "archive_empty",
        })
    }

    /// What a failure to read from a decompressor means: the kinds that decoders use tell of the data.
    fn reading(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                Self::Malformed(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}

/// The archive format of the file at `path`, by its first bytes; `None` when it is no archive. Fails for an archive of
/// another format.
pub fn recognize(path: &Path) -> Result<Option<Kind>, Error> {
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(512).read_to_end(&mut head))
        .map_err(Error::Io)?;
    let other = [
        (&b"7z\xBC\xAF\x27\x1C"[..], "a 7z archive"),
        (b"Rar!\x1A\x07", "a RAR archive"),
        (b"\xFD7zXZ\0", "an xz file"),
        (b"\x28\xB5\x2F\xFD", "a Zstandard file"),
        (b"BZh", "a bzip2 file"),
    ];
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Ok(Some(Kind::Zip))
    } else if head.starts_with(b"\x1F\x8B") {
        Ok(Some(Kind::TarGz))
    } else if let Some((_, name)) = other.iter().find(|(magic, _)| head.starts_with(magic)) {
        Err(Error::Unsupported((*name).to_owned()))
    } else if head.get(257..262) == Some(b"ustar") {
        Err(Error::Unsupported(
            "a tar archive that is not compressed".to_owned(),
        ))
    } else {
        Ok(None)
    }
}

/// Unpacks the archive at `path` into the empty folder `into`.
///
/// What systems leave in archives beside the files that were meant (`__MACOSX`, `.DS_Store`, `.git`, …) is left out.
/// Fails with the first thing that is wrong; what was unpacked until then stays in `into`.
pub fn unpack(path: &Path, kind: Kind, into: &Path, limits: &UnpackLimits) -> Result<Unpacked, Error> {
    let file = File::open(path).map_err(Error::Io)?;
    let packed_bytes = file.metadata().map_err(Error::Io)?.len();
    let mut sink = Sink::new(into, packed_bytes, limits);
    match kind {
        Kind::Zip => zip_archive::unpack(file, &mut sink)?,
        Kind::TarGz => tar_gz::unpack(file, &mut sink)?,
    }
    sink.finish()
}
