//! Uploads on their way in: a stream becomes a file with a known digest, in constant memory.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use berth_domain::digest::Sha256;
use bytes::Bytes;
use tempfile::TempPath;

use crate::blocking::blocking;
use crate::error::Error;
use crate::hashing::Hasher;
use crate::writer::Writer;

/// What the names of staged files and work folders begin with.
const PREFIX: &str = "upload-";

/// A folder in which uploads are staged. Clones name the same folder; several processes may share one.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
}

/// A file that is being received. Dropping it deletes what has come.
#[derive(Debug)]
pub struct Upload {
    writer: Writer,
    path: TempPath,
    received_bytes: u64,
    limit_bytes: u64,
}

/// A file that was received whole and is safe on the disk. Its digest was computed from the bytes as they came.
/// Dropping it deletes the file.
#[derive(Debug)]
pub struct Staged {
    path: TempPath,
    digest: Sha256,
    size_bytes: u64,
}

impl Staging {
    /// Uploads in `folder`, which is made if it is not there.
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        blocking(move || {
            std::fs::create_dir_all(&folder).map_err(Error::disk("make the folder", &folder))?;
            Ok(Self { folder })
        })
        .await
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins an upload of at most `limit_bytes`.
    pub async fn begin(&self, limit_bytes: u64) -> Result<Upload, Error> {
        let folder = self.folder.clone();
        blocking(move || {
            let (file, path) = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempfile_in(&folder)
                .map_err(Error::disk("make a file in", &folder))?
                .into_parts();
            Ok(Upload {
                writer: Writer::new(file, Hasher::default(), &*path),
                path,
                received_bytes: 0,
                limit_bytes,
            })
        })
        .await
    }

    /// An empty folder beside the uploads, for what is unpacked from one; it is deleted when it is dropped.
    pub async fn work_folder(&self) -> Result<tempfile::TempDir, Error> {
        let folder = self.folder.clone();
        blocking(move || {
            tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(&folder)
                .map_err(Error::disk("make a folder in", &folder))
        })
        .await
    }

    /// Deletes what processes that died left behind: uploads and work folders last changed more than `age` before
    /// `now`. Tells how many there were.
    pub async fn sweep(&self, now: SystemTime, age: Duration) -> Result<usize, Error> {
        let folder = self.folder.clone();
        blocking(move || sweep(&folder, now, age)).await
    }
}

fn sweep(folder: &Path, now: SystemTime, age: Duration) -> Result<usize, Error> {
    let mut swept = 0;
    for entry in std::fs::read_dir(folder).map_err(Error::disk("list", folder))? {
        let entry = entry.map_err(Error::disk("list", folder))?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let removed = entry.metadata().and_then(|metadata| {
            let old = now
                .duration_since(metadata.modified()?)
                .is_ok_and(|since| since > age);
            match (old, metadata.is_dir()) {
                (false, _) => return Ok(false),
                (true, true) => std::fs::remove_dir_all(&path)?,
                (true, false) => std::fs::remove_file(&path)?,
            }
            Ok(true)
        });
        match removed {
            Ok(removed) => swept += usize::from(removed),
            // Its upload ended, or another process swept it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::disk("delete", path)(error)),
        }
    }
    Ok(swept)
}

impl Upload {
    /// Takes in the next bytes. Fails when the limit is passed, or the disk refuses; the upload is over then.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.received_bytes = self
            .received_bytes
            .saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if self.received_bytes > self.limit_bytes {
            return Err(Error::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        self.writer.write(chunk).await
    }

    /// How many bytes have come.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Ends the upload. When this returns, the bytes are on the disk and survive a power cut.
    pub async fn finish(self) -> Result<Staged, Error> {
        Ok(Staged {
            digest: self.writer.finish().await?,
            path: self.path,
            size_bytes: self.received_bytes,
        })
    }
}

impl Staged {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// How many bytes it has.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn staging() -> (tempfile::TempDir, Staging) {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(folder.path().join("staging")).await.expect("opens");
        (folder, staging)
    }

    fn names(staging: &Staging) -> usize {
        std::fs::read_dir(staging.folder()).expect("lists").count()
    }

    #[tokio::test]
    async fn staged_file_has_the_bytes_and_digest_of_the_stream() {
        let (_folder, staging) = staging().await;
        let mut upload = staging.begin(u64::MAX).await.expect("begins");
        let mut whole = Vec::new();
        for number in 0..40_u8 {
            let chunk = vec![number; 60_000];
            whole.extend_from_slice(&chunk);
            upload.write(chunk.into()).await.expect("writes");
        }
        let staged = upload.finish().await.expect("finishes");
        assert_eq!(staged.digest(), Sha256::of(&whole));
        assert_eq!(staged.size_bytes(), 2_400_000);
        assert_eq!(std::fs::read(staged.path()).expect("reads"), whole);
        drop(staged);
        assert_eq!(names(&staging), 0);
    }

    #[tokio::test]
    async fn empty_upload_has_the_digest_of_nothing() {
        let (_folder, staging) = staging().await;
        let staged = staging
            .begin(0)
            .await
            .expect("begins")
            .finish()
            .await
            .expect("finishes");
        assert_eq!((staged.size_bytes(), staged.digest()), (0, Sha256::of(b"")));
    }

    #[tokio::test]
    async fn upload_over_the_limit_is_refused_and_leaves_nothing() {
        let (_folder, staging) = staging().await;
        let mut upload = staging.begin(10).await.expect("begins");
        upload
            .write(Bytes::from_static(b"0123456789"))
            .await
            .expect("fits");
        let error = upload
            .write(Bytes::from_static(b"!"))
            .await
            .expect_err("is too much");
        assert!(matches!(error, Error::TooLarge { limit_bytes: 10 }), "{error}");
        drop(upload);
        assert_eq!(names(&staging), 0);
    }

    #[tokio::test]
    async fn leftovers_are_swept_when_they_are_old() {
        let (_folder, staging) = staging().await;
        // A process that is killed never runs its destructors.
        let mut upload = staging.begin(10).await.expect("begins");
        upload.write(Bytes::from_static(b"abc")).await.expect("fits");
        std::mem::forget(upload);
        std::mem::forget(staging.work_folder().await.expect("made"));
        std::fs::write(staging.folder().join("other"), b"not ours").expect("writes");
        let born = std::fs::metadata(staging.folder())
            .and_then(|it| it.modified())
            .expect("has a time");
        let age = Duration::from_hours(1);
        assert_eq!(staging.sweep(born, age).await.expect("sweeps"), 0);
        let later = born + Duration::from_hours(2);
        assert_eq!(staging.sweep(later, age).await.expect("sweeps"), 2);
        assert_eq!(names(&staging), 1);
    }
}
