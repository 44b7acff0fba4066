//! One node of a graph: its operator, what it reads and writes, and the attributes that matter here.

use std::io::{Read, Seek};

use crate::graph::{Name, Skim};
use crate::operators::STANDARD_DOMAIN;
use crate::tensor::{self, FEW_INTEGERS};
use crate::wire::Span;
use crate::{Error, limits};

/// Longest name of an operator, a domain or an attribute.
const WORD_BYTES: usize = 256;

/// A node, as far as it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) operator: String,
    pub(crate) domain: String,
    pub(crate) overload: String,
    /// `None` stands for an optional input that is left out.
    pub(crate) inputs: Vec<Option<Name>>,
    pub(crate) outputs: Vec<Option<Name>>,
    attributes: Vec<Attribute>,
    /// Graphs inside: the branches of `If`, the bodies of `Loop` and `Scan`.
    pub(crate) graphs: Vec<Span>,
}

#[derive(Debug, Default)]
struct Attribute {
    name: String,
    integer: Option<i64>,
    integers: Vec<i64>,
    /// How many integers it has; only a few are kept.
    length: u64,
    text: Option<String>,
    /// The values of a small tensor of integers.
    tensor: Option<Vec<i64>>,
    /// How many dimensions a tensor has.
    rank: Option<usize>,
}

impl Node {
    /// The operator's name, with its domain unless that is the standard one.
    pub(crate) fn full_name(&self) -> String {
        if self.domain == STANDARD_DOMAIN {
            self.operator.clone()
        } else {
            format!("{}.{}", self.domain, self.operator)
        }
    }

    /// The integer attribute `name`.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.integer
    }

    /// The text attribute `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name)?.text.as_deref()
    }

    /// The list attribute `name`: `None` when it is not there, an empty error when it is too long to be kept.
    pub(crate) fn integers(&self, name: &str) -> Option<Result<&[i64], ()>> {
        self.attribute(name).map(|attribute| {
            if attribute.length == attribute.integers.len() as u64 {
                Ok(attribute.integers.as_slice())
            } else {
                Err(())
            }
        })
    }

    /// The value of a `Constant`, when it is a few integers.
    pub(crate) fn constant(&self) -> Option<Vec<i64>> {
        if self.operator != "Constant" || self.domain != STANDARD_DOMAIN {
            return None;
        }
        if let Some(Ok(values)) = self.integers("value_ints") {
            return Some(values.to_vec());
        }
        if let Some(value) = self.integer("value_int") {
            return Some(vec![value]);
        }
        self.attribute("value")?.tensor.clone()
    }

    /// How many dimensions the value of a `Constant` has.
    pub(crate) fn constant_rank(&self) -> Option<usize> {
        let has = |name| self.attribute(name).is_some();
        if ["value_ints", "value_floats", "value_strings"]
            .into_iter()
            .any(has)
        {
            return Some(1);
        }
        if ["value_int", "value_float", "value_string"].into_iter().any(has) {
            return Some(0);
        }
        self.attribute("value")?.rank
    }

    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// The domain as it is shown: the standard one may be written as the empty text.
pub(crate) fn domain_name(text: Option<String>) -> String {
    text.filter(|domain| !domain.is_empty())
        .unwrap_or_else(|| STANDARD_DOMAIN.to_owned())
}

impl<R: Read + Seek> Skim<'_, R> {
    /// Reads the `NodeProto` at `span`, judging the tensors in its attributes.
    pub(crate) fn node(&mut self, span: Span) -> Result<Node, Error> {
        let mut node = Node::default();
        let (mut operator, mut domain, mut overload) = (None, None, None);
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            match field.number {
                1 | 2 => {
                    let name = self.name(field.span()?)?;
                    let names = if field.number == 1 {
                        &mut node.inputs
                    } else {
                        &mut node.outputs
                    };
                    names.push(name);
                    part(self.limits, names.len())?;
                }
                4 | 7 | 8 => {
                    let text = self
                        .source
                        .text(field.span()?, WORD_BYTES, "bytes of an operator's name")?;
                    let slot = match field.number {
                        4 => &mut operator,
                        7 => &mut domain,
                        _ => &mut overload,
                    };
                    field.once(slot, text)?;
                }
                5 => {
                    let attribute = self.attribute(field.span()?, &mut node.graphs)?;
                    if node.attribute(&attribute.name).is_some() {
                        return Err(field.malformed("an attribute is given twice"));
                    }
                    node.attributes.push(attribute);
                    part(self.limits, node.attributes.len())?;
                }
                _ => {}
            }
        }
        node.operator = operator
            .filter(|operator| !operator.is_empty())
            .ok_or(Error::Malformed {
                offset: span.offset(),
                what: "a node names no operator",
            })?;
        node.domain = domain_name(domain);
        node.overload = overload.unwrap_or_default();
        self.values(node.outputs.len())?;
        Ok(node)
    }

    fn attribute(&mut self, span: Span, graphs: &mut Vec<Span>) -> Result<Attribute, Error> {
        let mut attribute = Attribute::default();
        let (mut name, mut tensor) = (None, None);
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            match field.number {
                1 => {
                    let text = self
                        .source
                        .text(field.span()?, WORD_BYTES, "bytes of an attribute's name")?;
                    field.once(&mut name, text)?;
                }
                3 => field.once(&mut attribute.integer, field.integer()?)?,
                4 => {
                    // Texts here can be whole vocabularies; those that say how axes are used are short.
                    let text = field.span()?;
                    if text.length() <= WORD_BYTES as u64 {
                        let bytes = self.source.bytes(text, WORD_BYTES, "bytes of a text")?;
                        attribute.text = String::from_utf8(bytes).ok();
                    }
                }
                5 => {
                    let read = self.tensor(field.span()?)?;
                    attribute.rank = Some(read.rank);
                    field.once(&mut tensor, read.integers)?;
                }
                6 | 11 => {
                    graphs.push(field.span()?);
                    part(self.limits, graphs.len())?;
                }
                8 => tensor::numbers(&mut self.source, field.value, |number| {
                    attribute.length += 1;
                    if attribute.length <= FEW_INTEGERS {
                        attribute.integers.push(number.cast_signed());
                    }
                })?,
                10 => drop(self.tensor(field.span()?)?),
                22 | 23 => drop(self.sparse_tensor(field.span()?)?),
                _ => {}
            }
        }
        attribute.name = name.unwrap_or_default();
        attribute.tensor = tensor.flatten();
        Ok(attribute)
    }
}

fn part(limits: &limits::Limits, count: usize) -> Result<(), Error> {
    if count <= limits.node_parts {
        Ok(())
    } else {
        Err(Error::TooLarge {
            what: "inputs, outputs or attributes of one node",
            limit: limits.node_parts as u64,
        })
    }
}
