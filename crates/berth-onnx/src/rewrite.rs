//! Writing a model again with its large weights in one file beside the graph, where a runtime can map them.
//!
//! Nothing else changes: whatever is not a weight that moves is copied byte for byte. The weights themselves are copied from
//! file to file, so memory does not grow with them.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::external::Folder;
use crate::tensor::{self, Tensor};
use crate::wire::{Field, Source, Span, Value};
use crate::{Error, GraphSummary, Limits};

/// Weights of at least so many bytes move. Each that does is a mapping of its own, and takes up at least a page.
pub const SMALLEST_MOVED_BYTES: u64 = 4 << 10;

/// Where fewer bytes would move, all stays as it is.
pub const WORTHWHILE_BYTES: u64 = 1 << 20;

/// Weights of at least so many bytes begin on a page.
const LARGE_BYTES: u64 = 64 << 10;
const PAGE_BYTES: u64 = 4 << 10;
/// What the others begin on: a line of the processor's cache, and a multiple of every element's size.
const LINE_BYTES: u64 = 64;

/// What a tensor says besides its values (name, shape, a text) has at most so many bytes, or the tensor stays.
const LONGEST_REST_BYTES: usize = 16 << 10;

/// A model that is worth being written again.
#[derive(Debug)]
pub struct Rewriting<R> {
    source: Source<R>,
    folder: Folder,
    limits: Limits,
    /// What the graph calls the file with the weights.
    location: String,
    graph_bytes: u64,
    moved: u64,
    weights_bytes: u64,
    /// A weight stays in a file of its own.
    some_stay: bool,
}

/// A weight that moves.
struct Moved {
    tensor: Tensor,
    /// Where its values begin in the new file.
    offset: u64,
    /// What is written in its stead.
    message: Vec<u8>,
}

/// Looks at the model at the relative path `graph` in `folder`, of which [`crate::inspect()`] has told `summary`. `None` when
/// nothing would be gained: there is little to move, or weights of nested graphs lie in files already.
///
/// The file with the weights is going to lie beside the graph, under the name `location`.
pub fn plan(
    folder: &Path,
    graph: &str,
    summary: &GraphSummary,
    location: &str,
    limits: &Limits,
) -> Result<Option<Rewriting<File>>, Error> {
    plan_of(File::open(folder.join(graph))?, folder, summary, location, limits)
}

/// As [`plan()`], from anything that can be read; external data is looked for in `folder`.
pub fn plan_of<R: Read + Seek>(
    file: R,
    folder: &Path,
    summary: &GraphSummary,
    location: &str,
    limits: &Limits,
) -> Result<Option<Rewriting<R>>, Error> {
    if summary.weight_bytes < WORTHWHILE_BYTES {
        return Ok(None);
    }
    let mut rewriting = Rewriting {
        source: Source::new(file)?,
        folder: Folder::new(folder, &summary.path, limits),
        limits: limits.clone(),
        location: location.to_owned(),
        graph_bytes: 0,
        moved: 0,
        weights_bytes: 0,
        some_stay: false,
    };
    let moved_bytes = rewriting.measure()?;
    // Several tensors may name the same stretch of a file, which would be copied for each.
    let there = rewriting
        .source
        .whole()
        .length()
        .saturating_add(rewriting.folder.bytes());
    let some_stay = rewriting.some_stay || rewriting.folder.tensors() != summary.external_tensors;
    if some_stay || moved_bytes < WORTHWHILE_BYTES || moved_bytes > there {
        return Ok(None);
    }
    Ok(Some(rewriting))
}

impl<R: Read + Seek> Rewriting<R> {
    /// How many weights move.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// How long the file with the weights is going to be.
    pub fn weights_bytes(&self) -> u64 {
        self.weights_bytes
    }

    /// Writes the graph and the file with its weights.
    pub fn write(mut self, mut graph: impl Write, mut weights: impl Write) -> Result<(), Error> {
        let mut end = 0;
        let mut cursor = self.source.whole();
        while let Some(field) = self.source.next(&mut cursor)? {
            if field.number == 7 {
                let mut head = Vec::new();
                put_head(&mut head, 7, self.graph_bytes);
                graph.write_all(&head)?;
                self.write_graph(field.span()?, &mut graph, &mut weights, &mut end)?;
            } else {
                self.source.copy(field.with_tag(cursor), &mut graph)?;
            }
        }
        graph.flush()?;
        weights.flush()?;
        Ok(())
    }

    fn write_graph(
        &mut self,
        span: Span,
        graph: &mut impl Write,
        weights: &mut impl Write,
        end: &mut u64,
    ) -> Result<(), Error> {
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            let Some(moved) = self.moved_by(field, *end)? else {
                self.source.copy(field.with_tag(cursor), graph)?;
                continue;
            };
            let mut head = Vec::new();
            put_head(&mut head, 5, moved.message.len() as u64);
            graph.write_all(&head)?;
            graph.write_all(&moved.message)?;
            io::copy(&mut io::repeat(0).take(moved.offset - *end), weights)?;
            self.write_values(field.span()?, &moved.tensor, weights)?;
            *end = moved.offset + moved.tensor.bytes;
        }
        Ok(())
    }

    /// How many bytes move; notes how long the files are going to be.
    fn measure(&mut self) -> Result<u64, Error> {
        let mut moved_bytes = 0_u64;
        let mut cursor = self.source.whole();
        while let Some(field) = self.source.next(&mut cursor)? {
            if field.number != 7 {
                continue;
            }
            let mut cursor = field.span()?;
            while let Some(field) = self.source.next(&mut cursor)? {
                let Some(moved) = self.moved_by(field, self.weights_bytes)? else {
                    self.graph_bytes += field.with_tag(cursor).length();
                    continue;
                };
                let mut head = Vec::new();
                put_head(&mut head, 5, moved.message.len() as u64);
                self.graph_bytes += (head.len() + moved.message.len()) as u64;
                self.moved += 1;
                moved_bytes = moved_bytes.saturating_add(moved.tensor.bytes);
                self.weights_bytes = moved.offset.saturating_add(moved.tensor.bytes);
            }
        }
        Ok(moved_bytes)
    }

    /// The weight in this field of the graph, if it is one that moves; what was moved before it ends at `end`.
    fn moved_by(&mut self, field: Field, end: u64) -> Result<Option<Moved>, Error> {
        if field.number != 5 {
            return Ok(None);
        }
        let span = field.span()?;
        let tensor = tensor::read(&mut self.source, span, &self.limits)?;
        self.folder.check(&tensor)?;
        let is_external = tensor.external.is_some();
        if (tensor.bytes < SMALLEST_MOVED_BYTES && !is_external)
            || tensor::width(tensor.element_type).is_none()
        {
            return Ok(None);
        }
        let unit = if tensor.bytes >= LARGE_BYTES {
            PAGE_BYTES
        } else {
            LINE_BYTES
        };
        let offset = end.checked_next_multiple_of(unit).ok_or(Error::TooLarge {
            what: "bytes of weights",
            limit: u64::MAX,
        })?;
        let Some(mut message) = self.rest(span)? else {
            self.some_stay |= is_external;
            return Ok(None);
        };
        for (key, value) in [
            ("location", self.location.clone()),
            ("offset", offset.to_string()),
            ("length", tensor.bytes.to_string()),
        ] {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key.as_bytes());
            put_bytes(&mut entry, 2, value.as_bytes());
            put_bytes(&mut message, 13, &entry);
        }
        // `data_location` is `EXTERNAL`.
        message.extend([14 << 3, 1]);
        Ok(Some(Moved {
            tensor,
            offset,
            message,
        }))
    }

    /// What the tensor says besides its values, as it stands there; `None` when that is long.
    fn rest(&mut self, span: Span) -> Result<Option<Vec<u8>>, Error> {
        let mut rest = Vec::new();
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            if matches!(field.number, 4 | 5 | 7 | 9 | 10 | 11 | 13 | 14) {
                continue;
            }
            let field = field.with_tag(cursor);
            if rest.len() as u64 + field.length() > LONGEST_REST_BYTES as u64 {
                return Ok(None);
            }
            self.source.copy(field, &mut rest)?;
        }
        Ok(Some(rest))
    }

    /// Writes the values of the `tensor` at `span` in the form that they have in `raw_data`.
    fn write_values(&mut self, span: Span, tensor: &Tensor, out: &mut impl Write) -> Result<(), Error> {
        let mut out = Counting { out, written: 0 };
        if let Some(external) = &tensor.external {
            io::copy(&mut self.folder.read(tensor, external)?, &mut out)?;
        } else {
            let width = tensor::width(tensor.element_type).unwrap_or(0);
            let mut cursor = span;
            while let Some(field) = self.source.next(&mut cursor)? {
                match (field.number, field.value) {
                    (4, Value::Fixed32) => self.source.copy(cursor.before(4), &mut out)?,
                    (10, Value::Fixed64) => self.source.copy(cursor.before(8), &mut out)?,
                    (4 | 9 | 10, _) => self.source.copy(field.span()?, &mut out)?,
                    (5 | 7 | 11, value) => {
                        let mut written = Ok(());
                        tensor::numbers(&mut self.source, value, |number| {
                            if written.is_ok() {
                                written = out.write_all(&number.to_le_bytes()[..width]);
                            }
                        })?;
                        written?;
                    }
                    _ => {}
                }
            }
        }
        if out.written == tensor.bytes {
            Ok(())
        } else {
            Err(Error::TensorInvalid {
                tensor: crate::error::shown(&tensor.name),
                what: format!(
                    "its shape and type need {} bytes, and it has {}",
                    tensor.bytes, out.written
                ),
            })
        }
    }
}

struct Counting<'w, W> {
    out: &'w mut W,
    written: u64,
}

impl<W: Write> Write for Counting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Adds the head of a field with so many bytes.
fn put_head(message: &mut Vec<u8>, field: u32, length: u64) {
    put_varint(message, u64::from(field) << 3 | 2);
    put_varint(message, length);
}

fn put_bytes(message: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_head(message, field, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.push(value.to_le_bytes()[0]);
}
