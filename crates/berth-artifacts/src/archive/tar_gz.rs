//! Tar archives compressed by gzip.
//!
//! The blocks are walked here, since names and attributes in extension blocks can be of any length, and are only read
//! when they are short. `tar::Header` reads the header blocks.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use tar::{EntryType, Header};

use super::Error;
use super::path::{EntryPath, shown};
use super::sink::Sink;

const BLOCK: usize = 512;
/// Longest extension block: names and attributes of the entry behind it.
const EXTENSION_BYTES: u64 = 64 << 10;
/// Most zeros behind the end; writers fill up to some block size.
const PADDING_BYTES: u64 = 4 << 20;

pub(super) fn unpack(file: File, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut stream = Stream(MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file)));
    let mut extension = Extension::default();
    let mut first = true;
    while let Some(header) = stream.header(first)? {
        first = false;
        sink.count_entry()?;
        let size = header
            .entry_size()
            .map_err(|_| Error::Malformed("an entry has no size".to_owned()))?;
        match header.entry_type() {
            EntryType::XHeader => extension.read_attributes(&stream.short(size)?)?,
            EntryType::GNULongName => extension.path = Some(text_until_zero(stream.short(size)?)?),
            EntryType::GNULongLink => drop(stream.short(size)?),
            // What holds for the whole archive (git writes the commit there).
            EntryType::XGlobalHeader => {
                let mut global = Extension::default();
                global.read_attributes(&stream.short(size)?)?;
                if global != Extension::default() {
                    return Err(Error::Unsupported(
                        "a tar with one name for all entries".to_owned(),
                    ));
                }
            }
            kind => {
                let extension = std::mem::take(&mut extension);
                stream.entry(&header, kind, size, extension, sink)?;
            }
        }
    }
    stream.end()
}

/// What extension blocks say of the next entry.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extension {
    path: Option<String>,
    size: Option<u64>,
}

impl Extension {
    /// Reads `LENGTH KEY=VALUE LF` records.
    fn read_attributes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let malformed = || Error::Malformed("its extended attributes are not as the format says".to_owned());
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = rest.iter().position(|&byte| byte == b' ').ok_or_else(malformed)?;
            let length: usize = std::str::from_utf8(&rest[..space])
                .ok()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(malformed)?;
            let record = rest
                .get(space + 1..length)
                .and_then(|record| record.strip_suffix(b"\n"))
                .ok_or_else(malformed)?;
            rest = &rest[length..];
            let equals = record
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.path = Some(String::from_utf8(value.to_vec()).map_err(|_| malformed())?),
                b"size" => {
                    let digits = std::str::from_utf8(value).map_err(|_| malformed())?;
                    self.size = Some(digits.parse().map_err(|_| malformed())?);
                }
                _ if key.starts_with(b"GNU.sparse") => {
                    return Err(Error::Unsupported("a tar with sparse files".to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

struct Stream<R>(R);

impl<R: Read> Stream<R> {
    /// The next header; `None` at the mark of the end.
    fn header(&mut self, first: bool) -> Result<Option<Header>, Error> {
        let block = self.block().map_err(|error| match error {
            // A gzip file that is shorter than one block holds no tar.
            Error::Truncated if first => Error::Malformed("it is gzip, but no tar is inside".to_owned()),
            other => other,
        })?;
        if block.iter().all(|&byte| byte == 0) {
            return if self.block()?.iter().all(|&byte| byte == 0) {
                Ok(None)
            } else {
                Err(Error::Malformed("it goes on behind its end".to_owned()))
            };
        }
        let header = Header::from_byte_slice(&block).clone();
        if header.cksum().ok() == Some(checksum(&block)) {
            Ok(Some(header))
        } else if first {
            Err(Error::Malformed("it is gzip, but no tar is inside".to_owned()))
        } else {
            Err(Error::Malformed("the checksum of a header is wrong".to_owned()))
        }
    }

    /// A file or folder, with its content.
    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extension: Extension,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let name = match extension.path {
            Some(path) => path,
            None => String::from_utf8(header.path_bytes().into_owned())
                .map_err(|_| Error::Malformed("a name is not UTF-8".to_owned()))?,
        };
        let size = extension.size.unwrap_or(size);
        let padded = padded(size)?;
        let path = EntryPath::parse(&name, sink.limits)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory => {
                if let Some(path) = path.filter(|path| !path.is_debris()) {
                    sink.folder(&path)?;
                }
                return self.skip(padded);
            }
            EntryType::Symlink | EntryType::Link => return Err(Error::LinkRefused(shown(&name))),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(Error::SpecialFileRefused(shown(&name)));
            }
            EntryType::GNUSparse => return Err(Error::Unsupported("a tar with sparse files".to_owned())),
            _ => {
                return Err(Error::Unsupported(format!(
                    "a tar with entries like `{}`",
                    shown(&name)
                )));
            }
        }
        match path.filter(|path| !path.is_debris()) {
            None => self.skip(padded),
            Some(path) => {
                sink.check_declared((&name, size), 0)?;
                sink.file(&path, &mut (&mut self.0).take(size))?;
                if sink.size_of(&path) != Some(size) {
                    return Err(Error::Truncated);
                }
                self.skip(padded - size)
            }
        }
    }

    /// The content of an extension block.
    fn short(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > EXTENSION_BYTES {
            return Err(Error::Malformed(
                "a name or its attributes are too long".to_owned(),
            ));
        }
        let mut bytes = vec![0; usize::try_from(padded(size)?).unwrap_or(0)];
        self.0.read_exact(&mut bytes).map_err(Error::reading)?;
        bytes.truncate(usize::try_from(size).unwrap_or(0));
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        let copied = io::copy(&mut (&mut self.0).take(bytes), &mut io::sink()).map_err(Error::reading)?;
        if copied == bytes {
            Ok(())
        } else {
            Err(Error::Truncated)
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0; BLOCK];
        self.0.read_exact(&mut block).map_err(Error::reading)?;
        Ok(block)
    }

    /// Reads what stands behind the end: zeros, and the checksum of the compression.
    fn end(mut self) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        let mut total = 0;
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    total += count as u64;
                    if total > PADDING_BYTES || buffer[..count].iter().any(|&byte| byte != 0) {
                        return Err(Error::Malformed("there are bytes behind its end".to_owned()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::reading(error)),
            }
        }
    }
}

/// The sum of the header's bytes, with its own field counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let field = 148..156;
    block
        .iter()
        .enumerate()
        .map(|(place, &byte)| {
            if field.contains(&place) {
                32
            } else {
                u32::from(byte)
            }
        })
        .sum()
}

/// How many bytes an entry of `size` takes in the archive.
fn padded(size: u64) -> Result<u64, Error> {
    size.checked_next_multiple_of(BLOCK as u64)
        .ok_or_else(|| Error::Malformed("an entry is larger than any archive".to_owned()))
}

fn text_until_zero(bytes: Vec<u8>) -> Result<String, Error> {
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let mut bytes = bytes;
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|_| Error::Malformed("a name is not UTF-8".to_owned()))
}
