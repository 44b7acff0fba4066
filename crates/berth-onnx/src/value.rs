//! Inputs and outputs: their names, types and shapes.

use std::io::{Read, Seek};

use berth_domain::tensor::{Datatype, Dimension};

use crate::wire::{Source, Span};
use crate::{Error, Limits};

/// An input or output as the graph declares it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// What flows there.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Tensors of a type that has a name on the wire. The shape is missing when not even the rank is stated.
    Tensor {
        datatype: Datatype,
        shape: Option<Vec<Dimension>>,
    },
    /// Tensors of a type without a name on the wire.
    OtherTensor(u64),
    /// Sequences, maps, optional values, sparse tensors, or nothing that is stated.
    Other,
}

impl Port {
    /// Bytes of text in it.
    pub(crate) fn text_bytes(&self) -> usize {
        let shape = match &self.kind {
            Kind::Tensor {
                shape: Some(shape), ..
            } => shape.as_slice(),
            _ => &[],
        };
        let names = shape.iter().map(|dimension| match dimension {
            Dimension::Symbolic(name) => name.len(),
            Dimension::Fixed(_) => 8,
        });
        self.name.len() + names.sum::<usize>()
    }
}

/// The element types of ONNX that have a name on the wire.
fn datatype(element_type: u64) -> Option<Datatype> {
    Some(match element_type {
        1 => Datatype::Fp32,
        2 => Datatype::Uint8,
        3 => Datatype::Int8,
        4 => Datatype::Uint16,
        5 => Datatype::Int16,
        6 => Datatype::Int32,
        7 => Datatype::Int64,
        8 => Datatype::Bytes,
        9 => Datatype::Bool,
        10 => Datatype::Fp16,
        11 => Datatype::Fp64,
        12 => Datatype::Uint32,
        13 => Datatype::Uint64,
        16 => Datatype::Bf16,
        _ => return None,
    })
}

/// Reads the `ValueInfoProto` at `span`.
pub(crate) fn read<R: Read + Seek>(
    source: &mut Source<R>,
    span: Span,
    limits: &Limits,
) -> Result<Port, Error> {
    let (mut name, mut kind) = (None, None);
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        match field.number {
            1 => {
                let text = source.text(field.span()?, limits.name_bytes, "bytes of one name")?;
                field.once(&mut name, text)?;
            }
            2 => {
                let read = read_type(source, field.span()?, limits)?;
                field.once(&mut kind, read)?;
            }
            _ => {}
        }
    }
    let name = name.filter(|name| !name.is_empty()).ok_or(Error::Malformed {
        offset: span.offset(),
        what: "an input or output has no name",
    })?;
    Ok(Port {
        name,
        kind: kind.unwrap_or(Kind::Other),
    })
}

fn read_type<R: Read + Seek>(source: &mut Source<R>, span: Span, limits: &Limits) -> Result<Kind, Error> {
    let mut kind = None;
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        match field.number {
            1 => {
                let read = read_tensor_type(source, field.span()?, limits)?;
                field.once(&mut kind, read)?;
            }
            4 | 5 | 7 | 8 | 9 => field.once(&mut kind, Kind::Other)?,
            _ => {}
        }
    }
    Ok(kind.unwrap_or(Kind::Other))
}

fn read_tensor_type<R: Read + Seek>(
    source: &mut Source<R>,
    span: Span,
    limits: &Limits,
) -> Result<Kind, Error> {
    let (mut element_type, mut shape) = (None, None);
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        match field.number {
            1 => field.once(&mut element_type, field.varint()?)?,
            2 => {
                let read = read_shape(source, field.span()?, limits)?;
                field.once(&mut shape, read)?;
            }
            _ => {}
        }
    }
    let element_type = element_type.unwrap_or(0);
    Ok(match datatype(element_type) {
        Some(datatype) => Kind::Tensor { datatype, shape },
        None => Kind::OtherTensor(element_type),
    })
}

fn read_shape<R: Read + Seek>(
    source: &mut Source<R>,
    span: Span,
    limits: &Limits,
) -> Result<Vec<Dimension>, Error> {
    let mut shape = Vec::new();
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        if field.number != 1 {
            continue;
        }
        if shape.len() == limits.rank {
            return Err(Error::TooLarge {
                what: "dimensions of one tensor",
                limit: limits.rank as u64,
            });
        }
        shape.push(read_dimension(source, field.span()?)?);
    }
    Ok(shape)
}

fn read_dimension<R: Read + Seek>(source: &mut Source<R>, span: Span) -> Result<Dimension, Error> {
    let mut dimension = None;
    let mut cursor = span;
    while let Some(field) = source.next(&mut cursor)? {
        match field.number {
            // Exporters write a negative extent where they mean an open one.
            1 => field.once(&mut dimension, Dimension::Fixed(field.integer()?.max(-1)))?,
            2 => {
                let name = source.text(field.span()?, 256, "bytes of a dimension's name")?;
                let symbolic = if name.is_empty() {
                    Dimension::OPEN
                } else {
                    Dimension::Symbolic(name)
                };
                field.once(&mut dimension, symbolic)?;
            }
            _ => {}
        }
    }
    Ok(dimension.unwrap_or(Dimension::OPEN))
}
