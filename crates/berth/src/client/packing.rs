//! A model as one stream: a file as it is, a folder as a `.tar.gz` that is made while it is sent.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

/// Bytes in one piece of the stream.
const PIECE_BYTES: usize = 256 * 1024;

/// Pieces that are read ahead of the network.
const PIECES_AHEAD: usize = 8;

/// Files that belong to tools around a model rather than to the model.
const LEFT_OUT: [&str; 3] = ["__pycache__", "Thumbs.db", "desktop.ini"];

/// What is to be sent.
#[derive(Debug)]
pub(crate) struct Package {
    /// What the server is told as the file's name; its ending says what it is.
    pub(crate) file_name: String,
    /// Bytes that will be read from disk.
    pub(crate) size_bytes: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(PathBuf),
    /// Paths on disk and in the archive, in order.
    Folder(Vec<(PathBuf, String)>),
}

impl Package {
    /// Looks at a file or folder. Fails when it is neither, cannot be read, or is empty.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let metadata = fs::metadata(path).with_context(|| format!("reading `{}`", path.display()))?;
        if metadata.is_file() {
            let file_name = path
                .file_name()
                .context("a file has a name")?
                .to_string_lossy()
                .into_owned();
            return Ok(Self {
                file_name,
                size_bytes: metadata.len(),
                content: Content::File(path.to_owned()),
            });
        }
        let absolute = path
            .canonicalize()
            .with_context(|| format!("reading `{}`", path.display()))?;
        let mut files = Vec::new();
        let size_bytes = collect(&absolute, "", &mut files)?;
        if files.is_empty() {
            bail!("the folder `{}` holds no files", path.display());
        }
        let name = absolute
            .file_name()
            .map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
        Ok(Self {
            file_name: format!("{name}.tar.gz"),
            size_bytes,
            content: Content::Folder(files),
        })
    }

    /// A name for the model, made of the name of the file or folder. Fails when nothing of it can stand in a name.
    pub(crate) fn suggested_name(&self) -> anyhow::Result<String> {
        let stem = [".tar.gz", ".tgz", ".zip", ".onnx"]
            .iter()
            .find_map(|ending| self.file_name.strip_suffix(ending))
            .unwrap_or(&self.file_name);
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '-'
            }
        };
        let name: String = stem.to_lowercase().chars().map(plain).take(64).collect();
        let name = name.trim_matches(['-', '_', '.']);
        if name.is_empty() {
            bail!("no name can be made of `{stem}`; give one");
        }
        Ok(name.to_owned())
    }

    /// The bytes to send, read by a thread of their own; `progress` moves with what is read from disk.
    pub(crate) fn stream(
        self,
        progress: ProgressBar,
    ) -> impl futures_util::Stream<Item = io::Result<Bytes>> + use<> {
        let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces {
                sender: sender.clone(),
                piece: Vec::with_capacity(PIECE_BYTES),
            };
            let outcome = match &self.content {
                Content::File(path) => write_file(path, &progress, &mut pieces),
                Content::Folder(files) => write_archive(files, &progress, &mut pieces),
            };
            let outcome = outcome.and_then(|()| pieces.flush());
            if let Err(error) = outcome {
                // When nobody takes the error, nobody waits for the stream either.
                let _ = sender.blocking_send(Err(error));
            }
        });
        // The thread ends by itself once the stream is dropped: sending fails then.
        drop(reading);
        futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        })
    }
}

/// The files under a folder in order of their names; links are followed, since model hubs keep their files behind them.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<(PathBuf, String)>) -> anyhow::Result<u64> {
    let reading = || format!("reading the folder `{}`", folder.display());
    let mut entries: Vec<_> = fs::read_dir(folder)
        .with_context(reading)?
        .collect::<Result<_, _>>()
        .with_context(reading)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut size = 0;
    for entry in entries {
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            bail!("the name of `{}` is not UTF-8", path.display());
        };
        if name.starts_with('.') || LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let inside = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        let metadata = fs::metadata(&path).with_context(|| format!("reading `{}`", path.display()))?;
        if metadata.is_dir() {
            if entry.file_type().with_context(reading)?.is_symlink() {
                bail!(
                    "`{}` is a link to a folder, which may lead in a circle: put the folder itself there",
                    path.display()
                );
            }
            size += collect(&path, &inside, files)?;
        } else if metadata.is_file() {
            size += metadata.len();
            files.push((path, inside));
        } else {
            bail!("`{}` is neither a file nor a folder", path.display());
        }
    }
    Ok(size)
}

fn write_file(path: &Path, progress: &ProgressBar, out: &mut impl Write) -> io::Result<()> {
    io::copy(&mut progress.wrap_read(File::open(path)?), out).map(|_| ())
}

fn write_archive(
    files: &[(PathBuf, String)],
    progress: &ProgressBar,
    out: &mut impl Write,
) -> io::Result<()> {
    // Weights hardly shrink: the fastest level keeps up with the network.
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::fast()));
    for (path, inside) in files {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        // A file that grows meanwhile is cut at the size that the header states.
        archive.append_data(&mut header, inside, progress.wrap_read(file).take(size))?;
    }
    archive.into_inner()?.finish()?.flush()
}

/// Gathers bytes into pieces and sends them.
struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the request has ended");
        self.sender.blocking_send(Ok(Bytes::from(piece))).map_err(gone)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    async fn sent(package: Package) -> Vec<u8> {
        let pieces: Vec<_> = package
            .stream(ProgressBar::hidden())
            .try_collect()
            .await
            .expect("can be read");
        pieces.concat()
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("My Model");
        fs::create_dir_all(inner.join("onnx")).expect("can create");
        fs::create_dir_all(inner.join(".git")).expect("can create");
        fs::write(inner.join("onnx/model.onnx"), vec![7; 600_000]).expect("can write");
        fs::write(inner.join("config.json"), "{}").expect("can write");
        fs::write(inner.join(".git/HEAD"), "x").expect("can write");
        folder
    }

    #[tokio::test]
    async fn folder_becomes_an_archive_of_its_visible_files() {
        let folder = folder();
        let package = Package::of(&folder.path().join("My Model")).expect("is a folder");
        assert_eq!(package.file_name, "My Model.tar.gz");
        assert_eq!(package.suggested_name().expect("can be named"), "my-model");
        assert_eq!(package.size_bytes, 600_002);
        let bytes = sent(package).await;
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let entries: Vec<_> = archive
            .entries()
            .expect("is an archive")
            .map(|entry| {
                let entry = entry.expect("is whole");
                (
                    entry.path().expect("has a path").display().to_string(),
                    entry.size(),
                )
            })
            .collect();
        assert_eq!(
            entries,
            [
                ("config.json".to_owned(), 2),
                ("onnx/model.onnx".to_owned(), 600_000)
            ]
        );
    }

    #[test]
    fn name_that_would_be_empty_is_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("模型.onnx");
        std::fs::write(&path, [7]).expect("is written");
        let error = Package::of(&path).expect("is a file").suggested_name();
        let error = error.expect_err("nothing is left of it");
        assert!(error.to_string().contains("模型"), "{error}");
    }

    #[tokio::test]
    async fn file_is_sent_as_it_is() {
        let folder = folder();
        let path = folder.path().join("My Model/onnx/model.onnx");
        let package = Package::of(&path).expect("is a file");
        assert_eq!(package.suggested_name().expect("can be named"), "model");
        assert_eq!(sent(package).await, vec![7; 600_000]);
    }

    #[test]
    fn link_to_a_folder_is_refused() {
        let folder = folder();
        let model = folder.path().join("My Model");
        std::os::unix::fs::symlink(&model, model.join("onnx/again")).expect("can link");
        let error = Package::of(&model).expect_err("is refused");
        assert!(error.to_string().contains("link to a folder"), "{error}");
    }

    #[test]
    fn empty_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(Package::of(folder.path()).is_err());
    }
}
