//! Tensors with values: initializers, and what attributes hold. Their payload is measured, never read.

use std::io::{Read, Seek};

use crate::error::shown;
use crate::wire::{Source, Span, Value};
use crate::{Error, Limits};

/// Integers that say something about the graph (axes, shapes) are kept when there are at most so many.
pub(crate) const FEW_INTEGERS: u64 = 16;

/// A tensor of the file.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) element_type: i64,
    /// How many dimensions the shape has.
    pub(crate) rank: usize,
    /// How many elements the shape has.
    pub(crate) elements: u64,
    /// How many bytes its payload has, in the file or beside it.
    pub(crate) bytes: u64,
    /// Where the payload lies, when it is in another file.
    pub(crate) external: Option<External>,
    /// The values of a small tensor of 64-bit integers.
    pub(crate) integers: Option<Vec<i64>>,
}

/// Where a payload lies in another file.
#[derive(Debug)]
pub(crate) struct External {
    pub(crate) location: String,
    pub(crate) offset: u64,
    /// The stated length, or what shape and type need.
    pub(crate) length: u64,
}

/// What the fields of a `TensorProto` say, before it is judged.
#[derive(Debug, Default)]
struct Fields {
    name: Option<String>,
    dimensions: Vec<i64>,
    element_type: Option<i64>,
    raw: Option<Span>,
    /// How many values each typed field has.
    floats: u64,
    int32s: u64,
    int64s: u64,
    uint64s: u64,
    doubles: u64,
    strings: u64,
    string_bytes: u64,
    few_int64s: Vec<i64>,
    external: Vec<(String, String)>,
    data_location: Option<u64>,
}

/// How the elements of a type are stored: bits of each in `raw_data`, and which typed field holds them instead.
struct Storage {
    bits: u64,
    field: TypedField,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TypedField {
    Floats,
    Int32s,
    Int64s,
    Uint64s,
    Doubles,
    Strings,
}

fn storage(element_type: i64) -> Option<Storage> {
    use TypedField::{Doubles, Floats, Int32s, Int64s, Strings, Uint64s};
    let (bits, field) = match element_type {
        1 => (32, Floats),
        2 | 3 | 9 | 17..=20 | 24 => (8, Int32s),
        4 | 5 | 10 | 16 => (16, Int32s),
        6 => (32, Int32s),
        7 => (64, Int64s),
        8 => (0, Strings),
        11 => (64, Doubles),
        12 => (32, Uint64s),
        13 => (64, Uint64s),
        14 => (64, Floats),
        15 => (128, Doubles),
        21..=23 => (4, Int32s),
        25 | 26 => (2, Int32s),
        27 | 28 => (6, Int32s),
        _ => return None,
    };
    Some(Storage { bits, field })
}

/// How many bytes a value of a typed field has in `raw_data`, and in other files; `None` for types whose values are packed in a
/// way of their own, or are texts.
pub(crate) fn width(element_type: i64) -> Option<usize> {
    match storage(element_type)?.bits {
        2 | 4 | 8 => Some(1),
        16 => Some(2),
        32 => Some(4),
        64 | 128 => Some(8),
        _ => None,
    }
}

/// Reads and judges the `TensorProto` at `span`.
pub(crate) fn read<R: Read + Seek>(
    source: &mut Source<R>,
    span: Span,
    limits: &Limits,
) -> Result<Tensor, Error> {
    let fields = fields(source, span, limits)?;
    let name = fields.name.clone().unwrap_or_default();
    let contradiction = |what: String| Error::TensorInvalid {
        tensor: shown(&name),
        what,
    };
    let elements = elements(&fields.dimensions)
        .ok_or_else(|| contradiction("its dimensions are negative or too large".to_owned()))?;
    let element_type = fields.element_type.unwrap_or(0);
    let storage = storage(element_type)
        .ok_or_else(|| contradiction(format!("there is no element type {element_type}")))?;
    let expected = elements
        .checked_mul(storage.bits)
        .map(|bits| bits.div_ceil(8))
        .ok_or_else(|| contradiction("its dimensions are negative or too large".to_owned()))?;

    if fields.data_location == Some(1) {
        if storage.field == TypedField::Strings || fields.raw.is_some() || fields.typed() > 0 {
            return Err(contradiction(
                "its values are said to lie elsewhere, and may not".to_owned(),
            ));
        }
        let external = external(&fields.external, expected).map_err(contradiction)?;
        return Ok(Tensor {
            bytes: external.length,
            external: Some(external),
            rank: fields.dimensions.len(),
            name,
            element_type,
            elements,
            integers: None,
        });
    }
    if !fields.external.is_empty() {
        return Err(contradiction(
            "it names another file for its values, but does not say that they lie there".to_owned(),
        ));
    }
    let bytes = match fields.raw {
        Some(raw) => {
            if fields.typed() > 0 || storage.field == TypedField::Strings {
                return Err(contradiction("its values are given in two ways".to_owned()));
            }
            if raw.length() != expected {
                return Err(contradiction(format!(
                    "its shape and type need {expected} bytes, and it has {}",
                    raw.length()
                )));
            }
            expected
        }
        None => fields.check_typed(&storage, elements).map_err(contradiction)?,
    };
    let integers = integers(source, &fields, element_type, elements)?;
    Ok(Tensor {
        rank: fields.dimensions.len(),
        name,
        element_type,
        elements,
        bytes,
        external: None,
        integers,
    })
}

/// Reads the dense tensor of values inside the `SparseTensorProto` at `span`, judging the indices too.
pub(crate) fn read_sparse<R: Read + Seek>(
    source: &mut Source<R>,
    span: Span,
    limits: &Limits,
) -> Result<(Tensor, Option<Tensor>), Error> {
    let (mut values, mut indices) = (None, None);
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        match field.number {
            1 => field.once(&mut values, field.span()?)?,
            2 => field.once(&mut indices, field.span()?)?,
            _ => {}
        }
    }
    let values = values.ok_or(Error::Malformed {
        offset: span.offset(),
        what: "a sparse tensor has no values",
    })?;
    let values = read(source, values, limits)?;
    let indices = indices.map(|indices| read(source, indices, limits)).transpose()?;
    Ok((values, indices))
}

fn fields<R: Read + Seek>(source: &mut Source<R>, span: Span, limits: &Limits) -> Result<Fields, Error> {
    let mut fields = Fields::default();
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        match (field.number, field.value) {
            (1, _) => {
                numbers(source, field.value, |number| {
                    if fields.dimensions.len() <= limits.rank {
                        fields.dimensions.push(number.cast_signed());
                    }
                })?;
                if fields.dimensions.len() > limits.rank {
                    return Err(Error::TooLarge {
                        what: "dimensions of one tensor",
                        limit: limits.rank as u64,
                    });
                }
            }
            (2, _) => field.once(&mut fields.element_type, field.integer()?)?,
            (3, _) => return Err(field.malformed("a tensor is stored in segments")),
            (4, Value::Fixed32) => fields.floats += 1,
            (4, _) => fields.floats += field.span()?.length() / 4,
            (5, _) => numbers(source, field.value, |_| fields.int32s += 1)?,
            (6, _) => {
                fields.strings += 1;
                fields.string_bytes += field.span()?.length();
            }
            (7, _) => numbers(source, field.value, |number| {
                fields.int64s += 1;
                if fields.int64s <= FEW_INTEGERS {
                    fields.few_int64s.push(number.cast_signed());
                }
            })?,
            (8, _) => {
                let name = source.text(field.span()?, limits.name_bytes, "bytes of one name")?;
                field.once(&mut fields.name, name)?;
            }
            (9, _) => field.once(&mut fields.raw, field.span()?)?,
            (10, Value::Fixed64) => fields.doubles += 1,
            (10, _) => fields.doubles += field.span()?.length() / 8,
            (11, _) => numbers(source, field.value, |_| fields.uint64s += 1)?,
            (13, _) => {
                if fields.external.len() == 8 {
                    return Err(field.malformed("a tensor says too much about where its values lie"));
                }
                let entry = entry(source, field.span()?, 4096)?;
                fields.external.push(entry);
            }
            (14, _) => field.once(&mut fields.data_location, field.varint()?)?,
            _ => {}
        }
    }
    Ok(fields)
}

/// The key and value of a `StringStringEntryProto`.
pub(crate) fn entry<R: Read + Seek>(
    source: &mut Source<R>,
    span: Span,
    limit: usize,
) -> Result<(String, String), Error> {
    let (mut key, mut value) = (None, None);
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        let slot = match field.number {
            1 => &mut key,
            2 => &mut value,
            _ => continue,
        };
        let text = source.text(field.span()?, limit, "bytes of one text")?;
        field.once(slot, text)?;
    }
    Ok((key.unwrap_or_default(), value.unwrap_or_default()))
}

/// Calls `take` with each number of a repeated field, packed or not.
pub(crate) fn numbers<R: Read + Seek>(
    source: &mut Source<R>,
    value: Value,
    mut take: impl FnMut(u64),
) -> Result<(), Error> {
    match value {
        Value::Varint(number) => {
            take(number);
            Ok(())
        }
        Value::Bytes(span) => source.packed(span, take),
        Value::Fixed64 | Value::Fixed32 => Err(Error::Malformed {
            offset: 0,
            what: "a list of numbers is something else",
        }),
    }
}

fn elements(dimensions: &[i64]) -> Option<u64> {
    dimensions.iter().try_fold(1_u64, |product, &dimension| {
        product.checked_mul(u64::try_from(dimension).ok()?)
    })
}

impl Fields {
    /// How many values the typed fields have, all together.
    fn typed(&self) -> u64 {
        self.floats + self.int32s + self.int64s + self.uint64s + self.doubles + self.strings
    }

    /// Judges values in typed fields; returns how many bytes they have.
    fn check_typed(&self, storage: &Storage, elements: u64) -> Result<u64, String> {
        let found = match storage.field {
            TypedField::Floats => self.floats,
            TypedField::Int32s => self.int32s,
            TypedField::Int64s => self.int64s,
            TypedField::Uint64s => self.uint64s,
            TypedField::Doubles => self.doubles,
            TypedField::Strings => self.strings,
        };
        if found != self.typed() {
            return Err("its values are of another type than it says".to_owned());
        }
        // A complex number is two values; types of 2 and 4 bits share one.
        let expected = match (storage.field, storage.bits) {
            (TypedField::Floats, 64) | (TypedField::Doubles, 128) => elements.checked_mul(2),
            (TypedField::Int32s, bits @ (2 | 4)) => Some(elements.div_ceil(8 / bits)),
            _ => Some(elements),
        };
        if expected != Some(found) {
            return Err(format!(
                "its shape has {elements} elements, and {found} values are given"
            ));
        }
        Ok(match storage.field {
            TypedField::Strings => self.string_bytes,
            _ => elements.saturating_mul(storage.bits).div_ceil(8),
        })
    }
}

fn external(entries: &[(String, String)], expected: u64) -> Result<External, String> {
    let find = |key: &str| {
        let mut values = entries
            .iter()
            .filter(|(name, _)| name == key)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(format!("it says `{key}` of its values twice")),
        }
    };
    let number = |key: &str| {
        find(key)?
            .map(|value| {
                let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                value
                    .parse::<u64>()
                    .ok()
                    .filter(|_| plain)
                    .ok_or_else(|| format!("the `{key}` of its values is not a number"))
            })
            .transpose()
    };
    let location = find("location")?.ok_or("it does not say in which file its values lie")?;
    let length = number("length")?.unwrap_or(expected);
    if length != expected {
        return Err(format!(
            "its shape and type need {expected} bytes, and it has {length}"
        ));
    }
    Ok(External {
        location: location.clone(),
        offset: number("offset")?.unwrap_or(0),
        length,
    })
}

fn integers<R: Read + Seek>(
    source: &mut Source<R>,
    fields: &Fields,
    element_type: i64,
    elements: u64,
) -> Result<Option<Vec<i64>>, Error> {
    if element_type != 7 || elements > FEW_INTEGERS {
        return Ok(None);
    }
    let Some(raw) = fields.raw else {
        return Ok(Some(fields.few_int64s.clone()));
    };
    let bytes = source.bytes(
        raw,
        raw.length().try_into().unwrap_or(0),
        "bytes of a small tensor",
    )?;
    let values = bytes
        .chunks_exact(8)
        .map(|chunk| i64::from_le_bytes(chunk.try_into().unwrap_or_default()))
        .collect();
    Ok(Some(values))
}
