//! Functions that a model defines for itself: operators made of operators.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use crate::Error;
use crate::graph::{Scope, Skim};
use crate::node::{self, Node};
use crate::operators::RUNTIME;
use crate::rows::Rows;
use crate::wire::Span;

/// What identifies a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Function {
    domain: String,
    name: String,
    overload: String,
}

impl Function {
    /// The function that a node would call.
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            domain: node.domain.clone(),
            name: node.operator.clone(),
            overload: node.overload.clone(),
        }
    }
}

/// Longest name of a function or a domain.
const WORD_BYTES: usize = 256;

impl<R: Read + Seek> Skim<'_, R> {
    /// Reads the functions at `spans`: first their names, since they may call each other, then their bodies. What mixes
    /// rows in one of them is put down in `rows` as if the main graph did it.
    pub(crate) fn read_functions(&mut self, spans: &[Span], rows: &mut Rows) -> Result<(), Error> {
        for &span in spans {
            let function = self.function_name(span)?;
            self.functions.insert(function);
        }
        for &span in spans {
            self.function_body(span, rows)?;
        }
        Ok(())
    }

    fn function_name(&mut self, span: Span) -> Result<Function, Error> {
        let (mut domain, mut name, mut overload) = (None, None, None);
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            let slot = match field.number {
                1 => &mut name,
                10 => &mut domain,
                13 => &mut overload,
                _ => continue,
            };
            let text = self
                .source
                .text(field.span()?, WORD_BYTES, "bytes of a function's name")?;
            field.once(slot, text)?;
        }
        Ok(Function {
            domain: node::domain_name(domain),
            name: name.unwrap_or_default(),
            overload: overload.unwrap_or_default(),
        })
    }

    fn function_body(&mut self, span: Span, rows: &mut Rows) -> Result<(), Error> {
        let mut imports = BTreeMap::new();
        // All that a function is given may be data.
        let mut body = Rows::default();
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            match field.number {
                4 => {
                    self.values(1)?;
                    if let Some(name) = self.name(field.span()?)? {
                        body.begin_name(name);
                    }
                }
                9 => self.opset_import(field.span()?, &mut imports)?,
                _ => {}
            }
        }
        let opsets = RUNTIME.opsets(&imports)?;
        let scope = Scope {
            opsets: &opsets,
            node_field: 7,
            depth: 0,
        };
        self.nodes(span, scope, Some(&mut body))?;
        rows.absorb(body);
        Ok(())
    }

    /// Reads the `OperatorSetIdProto` at `span` into `imports`.
    pub(crate) fn opset_import(
        &mut self,
        span: Span,
        imports: &mut BTreeMap<String, i64>,
    ) -> Result<(), Error> {
        const MOST: usize = 256;
        let (mut domain, mut version) = (None, None);
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            match field.number {
                1 => {
                    let text = self
                        .source
                        .text(field.span()?, WORD_BYTES, "bytes of a domain's name")?;
                    field.once(&mut domain, text)?;
                }
                2 => field.once(&mut version, field.integer()?)?,
                _ => {}
            }
        }
        if imports.len() == MOST {
            return Err(Error::TooLarge {
                what: "operator sets",
                limit: MOST as u64,
            });
        }
        let previous = imports.insert(node::domain_name(domain), version.unwrap_or(0));
        match previous {
            None => Ok(()),
            Some(_) => Err(Error::Malformed {
                offset: span.offset(),
                what: "an operator set is named twice",
            }),
        }
    }
}
