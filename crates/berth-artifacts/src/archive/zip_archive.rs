//! Zip archives.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use zip::read::{ArchiveOffset, Config, ZipFileEntry};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::Error;
use super::path::{EntryPath, shown};
use super::sink::Sink;

/// Longest directory of an archive; it is kept in memory.
const DIRECTORY_BYTES: u64 = 8 << 20;

/// Unpacks the archive after judging all that its directory declares.
pub(super) fn unpack(mut file: File, sink: &mut Sink<'_>) -> Result<(), Error> {
    check_end(&mut file, sink.limits.entries)?;
    let config = Config {
        // The archive begins where the file does: nothing is hidden in front.
        archive_offset: ArchiveOffset::Known(0),
    };
    let mut archive = ZipArchive::with_config(config, file).map_err(failed)?;
    check_entries(&archive, sink)?;
    // What the directory says and what stands before each file must agree: readers differ in which they believe.
    archive.validate_header_consistency().map_err(failed)?;

    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(failed)?;
        let name = entry.name().map_err(failed)?.into_owned();
        let size = entry.size();
        let Some(path) = EntryPath::parse(&name, sink.limits)?.filter(|path| !path.is_debris()) else {
            continue;
        };
        if entry.is_dir() {
            sink.folder(&path)?;
            continue;
        }
        // One byte more than declared is enough to see that the declaration lies.
        sink.file(&path, &mut (&mut entry).take(size.saturating_add(1)))?;
        if sink.size_of(&path) != Some(size) {
            return Err(Error::Malformed(format!(
                "`{}` has not the size that is declared",
                shown(&name)
            )));
        }
    }
    Ok(())
}

/// Judges names, kinds and declared sizes.
fn check_entries(archive: &ZipArchive<File>, sink: &mut Sink<'_>) -> Result<(), Error> {
    if archive.has_duplicate_names() {
        return Err(Error::DuplicatePath("one path".to_owned()));
    }
    let mut largest = (String::new(), 0);
    let mut total = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(failed)?;
        sink.count_entry()?;
        let name = entry.name().map_err(failed)?;
        check_kind(&name, &entry)?;
        EntryPath::parse(&name, sink.limits)?;
        total = total.saturating_add(entry.size());
        if entry.size() > largest.1 {
            largest = (name.into_owned(), entry.size());
        }
    }
    sink.check_declared((&largest.0, largest.1), total)
}

/// Refuses what is neither a plain file nor a folder, and what cannot be read.
fn check_kind(name: &str, entry: &ZipFileEntry<'_>) -> Result<(), Error> {
    const KIND: u32 = 0o170_000;
    const LINK: u32 = 0o120_000;
    const FOLDER: u32 = 0o040_000;
    const FILE: u32 = 0o100_000;
    match entry.unix_mode().map_or(0, |mode| mode & KIND) {
        0 | FOLDER | FILE => {}
        LINK => return Err(Error::LinkRefused(shown(name))),
        _ => return Err(Error::SpecialFileRefused(shown(name))),
    }
    if entry.encrypted() {
        return Err(Error::Encrypted(shown(name)));
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        other => Err(Error::Unsupported(format!(
            "`{}`, compressed by the method {other:?},",
            shown(name)
        ))),
    }
}

/// Judges how the file ends before the archive is opened. A zip archive is read from its end: without one it was cut
/// off; what stands behind it was not written by who made the archive; and the directory that it points to, which will
/// be read whole, must be of bounded length and stand right before it.
fn check_end(file: &mut File, most_entries: u64) -> Result<(), Error> {
    const END: usize = 22;
    const LONGEST_COMMENT: usize = 0xFFFF;
    let malformed = |what: &str| Error::Malformed(what.to_owned());
    let length = file.metadata().map_err(Error::Io)?.len();
    let tail_bytes = length.min((END + LONGEST_COMMENT) as u64);
    let tail_start = length - tail_bytes;
    let tail = read_at(file, tail_start, tail_bytes)?;
    let place = tail
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .filter(|place| place + END <= tail.len())
        .ok_or(Error::Truncated)?;
    let end = &tail[place..];
    if END + usize::from(number_16(end, 20)) != end.len() {
        return Err(malformed("there are bytes behind its end"));
    }
    let position = tail_start + place as u64;
    let (entries, directory_length, offset) = (number_16(end, 10), number_32(end, 12), number_32(end, 16));
    let directory = match zip64_directory(file, position)? {
        Some(directory) => {
            let agrees = (entries == u16::MAX || u64::from(entries) == directory.entries)
                && (directory_length == u32::MAX || u64::from(directory_length) == directory.length)
                && (offset == u32::MAX || u64::from(offset) == directory.offset);
            if !agrees {
                return Err(malformed("its zip64 record contradicts its end"));
            }
            directory
        }
        None => Directory {
            entries: entries.into(),
            length: directory_length.into(),
            offset: offset.into(),
            end: position,
        },
    };
    if directory.offset.checked_add(directory.length) != Some(directory.end) {
        return Err(malformed("its directory does not stand where it is said to"));
    }
    if directory.entries > most_entries {
        return Err(Error::TooManyFiles(most_entries));
    }
    if directory.length > DIRECTORY_BYTES {
        return Err(malformed("its directory is too long"));
    }
    Ok(())
}

/// Where the directory of an archive stands.
struct Directory {
    entries: u64,
    length: u64,
    offset: u64,
    /// Where it must end.
    end: u64,
}

/// What the zip64 record says, if there is one before the end record at `end`.
fn zip64_directory(file: &mut File, end: u64) -> Result<Option<Directory>, Error> {
    const LOCATOR: u64 = 20;
    const RECORD: u64 = 56;
    let Some(locator_position) = end.checked_sub(LOCATOR) else {
        return Ok(None);
    };
    let locator = read_at(file, locator_position, LOCATOR)?;
    if !locator.starts_with(b"PK\x06\x07") {
        return Ok(None);
    }
    // The record can be of any length and would be read whole; as writers make it, it has this one.
    let position = number_64(&locator, 8);
    let record = match position.checked_add(RECORD) {
        Some(record_end) if record_end == locator_position => read_at(file, position, RECORD)?,
        _ => Vec::new(),
    };
    if !record.starts_with(b"PK\x06\x06") || number_64(&record, 4) + 12 != RECORD {
        return Err(Error::Malformed("its zip64 record is none".to_owned()));
    }
    Ok(Some(Directory {
        entries: number_64(&record, 32),
        length: number_64(&record, 40),
        offset: number_64(&record, 48),
        end: position,
    }))
}

fn read_at(file: &mut File, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.seek(SeekFrom::Start(offset)).map_err(Error::Io)?;
    file.read_exact(&mut bytes).map_err(Error::reading)?;
    Ok(bytes)
}

/// The little-endian number of `N` bytes at `place`; absent bytes count as 0.
fn number<const N: usize>(bytes: &[u8], place: usize) -> [u8; N] {
    bytes
        .get(place..place + N)
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or([0; N])
}

fn number_16(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes(number(bytes, place))
}

fn number_32(bytes: &[u8], place: usize) -> u32 {
    u32::from_le_bytes(number(bytes, place))
}

fn number_64(bytes: &[u8], place: usize) -> u64 {
    u64::from_le_bytes(number(bytes, place))
}

fn failed(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => Error::reading(error),
        ZipError::InvalidArchive(what) => Error::Malformed(what.into_owned()),
        ZipError::UnsupportedArchive(what) => Error::Unsupported(format!("this archive ({what})")),
        ZipError::CompressionMethodNotSupported(method) => {
            Error::Unsupported(format!("an archive with the compression method {method}"))
        }
        other => Error::reading(io::Error::from(other)),
    }
}
