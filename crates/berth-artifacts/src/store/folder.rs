//! The artifact store as a folder: objects appear whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Location;

use crate::blocking::{blocking, sync_folder};
use crate::error::Error;
use crate::hashing::CHUNK_BYTES;

/// Objects never change, so nobody may write them.
const OBJECT_MODE: u32 = 0o444;

pub(super) fn open(folder: &Path) -> Result<(LocalFileSystem, PathBuf), Error> {
    std::fs::create_dir_all(folder).map_err(Error::disk("make the folder", folder))?;
    let folder = folder.canonicalize().map_err(Error::disk("find", folder))?;
    let objects = LocalFileSystem::new_with_prefix(&folder)
        .map_err(|source| Error::Configuration { source })?
        .with_fsync(true);
    Ok((objects, folder))
}

/// Makes the file at `source` an object: by a second name for the same bytes where the disk allows it, else by a copy.
pub(super) fn put(folder: &Path, location: &Location, source: &Path) -> Result<(), Error> {
    let target = folder.join(location.as_ref());
    let parent = target.parent().unwrap_or(folder);
    make_folders(folder, parent).map_err(Error::disk("make the folder", parent))?;
    let stored = match link(source, &target) {
        // Another disk, one without hard links, or a broken object that has to be replaced.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::CrossesDevices
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::AlreadyExists
            ) =>
        {
            copy(source, &target, parent)
        }
        linked => linked,
    };
    stored
        .and_then(|()| sync_folder(parent))
        .map_err(Error::disk("store a file as", &target))
}

fn link(source: &Path, target: &Path) -> io::Result<()> {
    let file = File::open(source)?;
    file.sync_all()?;
    file.set_permissions(Permissions::from_mode(OBJECT_MODE))?;
    match std::fs::hard_link(source, target) {
        // Another upload of the same bytes was quicker. (An object of another length is broken and is replaced.)
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists
                && target.metadata()?.len() == source.metadata()?.len() =>
        {
            Ok(())
        }
        linked => linked,
    }
}

fn copy(source: &Path, target: &Path, parent: &Path) -> io::Result<()> {
    let mut copy = tempfile::NamedTempFile::new_in(parent)?;
    io::copy(&mut File::open(source)?, copy.as_file_mut())?;
    copy.as_file().sync_all()?;
    copy.as_file()
        .set_permissions(Permissions::from_mode(OBJECT_MODE))?;
    copy.persist(target).map(drop).map_err(|error| error.error)
}

/// Makes `folder` inside `root`, and makes its name survive a power cut.
fn make_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent()
        && parent.starts_with(root)
    {
        make_folders(root, parent)?;
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => sync_folder(parent)?,
        }
    }
    Ok(())
}

/// The bytes of `file` from `offset_bytes` on.
pub(super) fn read(file: File, path: PathBuf, offset_bytes: u64) -> BoxStream<'static, Result<Bytes, Error>> {
    try_unfold(
        (file, path, Some(offset_bytes)),
        |(mut file, path, seek)| async move {
            blocking(move || {
                let piece = (|| {
                    if let Some(offset) = seek {
                        file.seek(SeekFrom::Start(offset))?;
                    }
                    let mut piece = Vec::with_capacity(CHUNK_BYTES);
                    (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut piece)?;
                    io::Result::Ok(piece)
                })()
                .map_err(Error::disk("read", &path))?;
                Ok((!piece.is_empty()).then(|| (Bytes::from(piece), (file, path, None))))
            })
            .await
        },
    )
    .boxed()
}
