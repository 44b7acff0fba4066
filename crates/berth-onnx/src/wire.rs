//! The protobuf wire format, read field by field from a file.
//!
//! Nothing is decoded that is not asked for: a length-delimited field is a [`Span`] of the file, and skipping it is a seek.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

use crate::Error;

const BUFFER_BYTES: usize = 64 << 10;

/// A file with its position.
#[derive(Debug)]
pub(crate) struct Source<R> {
    reader: BufReader<R>,
    position: u64,
    length: u64,
}

/// A stretch of the file that is read as a message, or as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u64,
    end: u64,
    /// Whether this is the whole file: what reaches beyond its end was cut off, elsewhere it is nonsense.
    whole: bool,
}

impl Span {
    /// How many bytes.
    pub(crate) fn length(self) -> u64 {
        self.end - self.start
    }

    /// Where it begins.
    pub(crate) fn offset(self) -> u64 {
        self.start
    }

    /// The last bytes before where it begins.
    pub(crate) fn before(self, length: u64) -> Self {
        Self {
            start: self.start.saturating_sub(length),
            end: self.start,
            whole: false,
        }
    }
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) value: Value,
    offset: u64,
}

/// The value of a field, as far as the wire format tells.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Varint(u64),
    Fixed64,
    Fixed32,
    Bytes(Span),
}

impl Field {
    /// The field with its tag, when `rest` is what follows it in its message.
    pub(crate) fn with_tag(self, rest: Span) -> Span {
        rest.before(rest.start - self.offset)
    }

    /// The value of a field that is a number or an enumeration.
    pub(crate) fn varint(self) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.malformed("a field that should be a number is something else")),
        }
    }

    /// As [`Field::varint`], for the signed types.
    pub(crate) fn integer(self) -> Result<i64, Error> {
        self.varint().map(u64::cast_signed)
    }

    /// The bytes of a field that is a text, bytes or a message.
    pub(crate) fn span(self) -> Result<Span, Error> {
        match self.value {
            Value::Bytes(span) => Ok(span),
            _ => Err(self.malformed("a field that should be a text or a message is something else")),
        }
    }

    /// Stores the value of a field that occurs once. Parsers differ in what they do with a second one (the last counts,
    /// or both are merged), so it is refused.
    pub(crate) fn once<T>(self, slot: &mut Option<T>, value: T) -> Result<(), Error> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.malformed("a field that occurs once is given twice")),
        }
    }

    pub(crate) fn malformed(self, what: &'static str) -> Error {
        Error::Malformed {
            offset: self.offset,
            what,
        }
    }
}

impl<R: Read + Seek> Source<R> {
    /// Reads from `file`, whose length is asked for once.
    pub(crate) fn new(mut file: R) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            position: 0,
            length,
        })
    }

    /// The whole file.
    pub(crate) fn whole(&self) -> Span {
        Span {
            start: 0,
            end: self.length,
            whole: true,
        }
    }

    /// Whether these bytes stand at `offset`.
    pub(crate) fn starts_with_at(&mut self, offset: u64, bytes: &[u8]) -> Result<bool, Error> {
        let end = offset + bytes.len() as u64;
        if end > self.length {
            return Ok(false);
        }
        let span = Span {
            start: offset,
            end,
            whole: false,
        };
        Ok(self.bytes(span, bytes.len(), "bytes")? == bytes)
    }

    /// The next field of the message at `cursor`, which moves behind it; `None` at the end of the message.
    pub(crate) fn next(&mut self, cursor: &mut Span) -> Result<Option<Field>, Error> {
        if cursor.start == cursor.end {
            return Ok(None);
        }
        let offset = cursor.start;
        let malformed = |what| Error::Malformed { offset, what };
        self.seek(offset)?;
        let tag = self.varint(*cursor)?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|number| (1..=0x1FFF_FFFF).contains(number))
            .ok_or_else(|| malformed("a field has an impossible number"))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint(*cursor)?),
            1 => self.fixed(*cursor, 8, Value::Fixed64)?,
            2 => {
                let length = self.varint(*cursor)?;
                let start = self.position;
                let end = start
                    .checked_add(length)
                    .filter(|&end| end <= cursor.end)
                    .ok_or_else(|| self.beyond(*cursor))?;
                Value::Bytes(Span {
                    start,
                    end,
                    whole: false,
                })
            }
            5 => self.fixed(*cursor, 4, Value::Fixed32)?,
            _ => return Err(malformed("a field has a wire type that ONNX does not use")),
        };
        cursor.start = match value {
            Value::Bytes(span) => span.end,
            _ => self.position,
        };
        Ok(Some(Field {
            number,
            value,
            offset,
        }))
    }

    /// The bytes of `span`, which may be at most `limit` long.
    pub(crate) fn bytes(&mut self, span: Span, limit: usize, what: &'static str) -> Result<Vec<u8>, Error> {
        let length = usize::try_from(span.length())
            .ok()
            .filter(|&length| length <= limit)
            .ok_or(Error::TooLarge {
                what,
                limit: limit as u64,
            })?;
        self.seek(span.start)?;
        let mut bytes = vec![0; length];
        self.reader
            .read_exact(&mut bytes)
            .map_err(|error| self.read_failed(error))?;
        self.position = span.end;
        Ok(bytes)
    }

    /// Writes the bytes of `span` to `out`.
    pub(crate) fn copy(&mut self, span: Span, out: &mut impl Write) -> Result<(), Error> {
        self.seek(span.start)?;
        let copied = io::copy(&mut (&mut self.reader).take(span.length()), out);
        let copied = copied.map_err(|error| self.read_failed(error))?;
        self.position += copied;
        if copied == span.length() {
            Ok(())
        } else {
            Err(Error::Truncated { length: self.length })
        }
    }

    /// The text of `span`. A zero character is refused: it ends a text for the runtime, and databases keep none.
    pub(crate) fn text(&mut self, span: Span, limit: usize, what: &'static str) -> Result<String, Error> {
        let malformed = |what| Error::Malformed {
            offset: span.start,
            what,
        };
        let text = String::from_utf8(self.bytes(span, limit, what)?)
            .map_err(|_| malformed("a text is not UTF-8"))?;
        if text.contains('\0') {
            return Err(malformed("a text holds a zero character"));
        }
        Ok(text)
    }

    /// Calls `take` with each number of a packed field. The payload is read once, and nothing of it is kept here.
    pub(crate) fn packed(&mut self, span: Span, mut take: impl FnMut(u64)) -> Result<(), Error> {
        self.seek(span.start)?;
        while self.position < span.end {
            take(self.varint(span)?);
        }
        Ok(())
    }

    fn seek(&mut self, to: u64) -> Result<(), Error> {
        if to != self.position {
            let distance = i64::try_from(i128::from(to) - i128::from(self.position))
                .map_err(|_| Error::Io(io::ErrorKind::InvalidInput.into()))?;
            self.reader.seek_relative(distance)?;
            self.position = to;
        }
        Ok(())
    }

    fn varint(&mut self, within: Span) -> Result<u64, Error> {
        let offset = self.position;
        let overflow = Error::Malformed {
            offset,
            what: "a number has more than 64 bits",
        };
        let mut value = 0_u64;
        for place in 0..10 {
            if self.position == within.end {
                return Err(self.beyond(within));
            }
            let byte = self.byte()?;
            if place == 9 && byte > 1 {
                return Err(overflow);
            }
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(overflow)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = match self.reader.fill_buf() {
            Ok(buffer) => buffer.first().copied(),
            Err(error) => return Err(self.read_failed(error)),
        };
        let byte = byte.ok_or(Error::Truncated { length: self.length })?;
        self.reader.consume(1);
        self.position += 1;
        Ok(byte)
    }

    /// Skips a value of fixed size.
    fn fixed(&mut self, within: Span, size: u64, value: Value) -> Result<Value, Error> {
        if within.end - self.position < size {
            return Err(self.beyond(within));
        }
        self.seek(self.position + size)?;
        Ok(value)
    }

    /// Something reaches beyond the end of what it stands in.
    fn beyond(&self, within: Span) -> Error {
        if within.whole {
            Error::Truncated { length: self.length }
        } else {
            Error::Malformed {
                offset: self.position,
                what: "something is longer than what it stands in",
            }
        }
    }

    /// The length was known, so an early end means that the file shrank meanwhile.
    fn read_failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { length: self.length },
            _ => Error::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, u64)>, Error> {
        let mut source = Source::new(Cursor::new(bytes))?;
        let mut cursor = source.whole();
        let mut fields = Vec::new();
        while let Some(field) = source.next(&mut cursor)? {
            fields.push((
                field.number,
                match field.value {
                    Value::Varint(value) => value,
                    Value::Bytes(span) => span.length(),
                    Value::Fixed64 => 8,
                    Value::Fixed32 => 4,
                },
            ));
        }
        Ok(fields)
    }

    #[test]
    fn fields_of_every_wire_type_are_told_apart() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, 0xFF, 0xFF, // 2: two bytes
            0x19, 1, 2, 3, 4, 5, 6, 7, 8, // 3: eight bytes
            0x25, 1, 2, 3, 4, // 4: four bytes
        ];
        assert_eq!(fields(&bytes).expect("reads"), [(1, 150), (2, 2), (3, 8), (4, 4)]);
    }

    #[test]
    fn largest_number_is_read_and_a_larger_one_refused() {
        let mut bytes = vec![0x08];
        bytes.extend([0xFF; 9]);
        bytes.push(0x01);
        assert_eq!(fields(&bytes).expect("reads"), [(1, u64::MAX)]);
        *bytes.last_mut().expect("a byte") = 0x02;
        assert!(matches!(fields(&bytes), Err(Error::Malformed { .. })));
    }

    #[test]
    fn groups_and_field_zero_are_refused() {
        for tag in [0x0B, 0x0C, 0x0E, 0x0F, 0x00, 0x02] {
            assert!(
                matches!(fields(&[tag, 0]), Err(Error::Malformed { .. })),
                "{tag:#x}"
            );
        }
    }

    #[test]
    fn every_cut_inside_a_field_is_told_as_truncated() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 0x02, 0xFF, 0xFF, 0x25, 1, 2, 3, 4];
        for length in [1, 2, 4, 5, 6, 8, 9, 10, 11] {
            assert!(
                matches!(fields(&bytes[..length]), Err(Error::Truncated { .. })),
                "{length}"
            );
        }
    }
}
