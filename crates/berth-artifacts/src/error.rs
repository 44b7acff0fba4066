//! Why a file could not be stored or had.

use std::io;
use std::path::PathBuf;

use berth_domain::digest::Sha256;

/// Why a file could not be stored or had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The artifact store could not be opened as configured.
    #[error("could not open the artifact store")]
    Configuration {
        /// What is wrong with the configuration.
        #[source]
        source: object_store::Error,
    },
    /// The object store could not do it, or could not be reached. It may be tried again.
    #[error("could not {attempted} `{location}` in the artifact store")]
    Store {
        /// What was attempted.
        attempted: &'static str,
        /// The object.
        location: String,
        /// Why it failed.
        #[source]
        source: object_store::Error,
    },
    /// The local disk could not do it.
    #[error("could not {attempted} `{}`", path.display())]
    Disk {
        /// What was attempted.
        attempted: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The artifact store does not have the file.
    #[error("the artifact store has no file with the digest {digest}")]
    Missing {
        /// Its digest.
        digest: Sha256,
    },
    /// The bytes are not those that were promised.
    #[error("a file has the digest {found} where {expected} was expected")]
    WrongDigest {
        /// The digest promised.
        expected: Sha256,
        /// The digest of the bytes.
        found: Sha256,
    },
    /// There are not as many bytes as were promised.
    #[error("the file with the digest {digest} is not {expected_bytes} bytes long")]
    WrongSize {
        /// Its digest.
        digest: Sha256,
        /// How many bytes were promised.
        expected_bytes: u64,
    },
    /// More bytes came than are allowed.
    #[error("more than {limit_bytes} bytes were sent")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The cache cannot make room, because what is in it is in use.
    #[error(
        "the cache of {limit_bytes} bytes has no room for {needed_bytes} more: {pinned_bytes} bytes are in use"
    )]
    Full {
        /// Size of the cache.
        limit_bytes: u64,
        /// What does not fit.
        needed_bytes: u64,
        /// What is in use and cannot be evicted.
        pinned_bytes: u64,
    },
    /// A model's file has a path that leaves its folder, or two files have one path.
    #[error("`{path}` cannot be the path of a model's file")]
    Path {
        /// The path.
        path: String,
    },
    /// Another process uses the folder of the cache.
    #[error("the cache `{}` is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    /// For `map_err` after an operation on the local disk.
    pub(crate) fn disk(attempted: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk {
            attempted,
            path,
            source,
        }
    }

    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { .. } | Self::Disk { .. } => true,
            // What is in use is let go some day; what does not fit into an empty cache never will.
            Self::Full {
                limit_bytes,
                needed_bytes,
                ..
            } => needed_bytes <= limit_bytes,
            _ => false,
        }
    }
}
