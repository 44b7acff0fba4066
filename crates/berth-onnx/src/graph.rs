//! Graphs: the main one, and those inside nodes.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher as _;
use std::io::{Read, Seek};

use crate::error::shown;
use crate::external::Folder;
use crate::function::Function;
use crate::node::Node;
use crate::operators::RUNTIME;
use crate::rows::Rows;
use crate::tensor::{self, Tensor};
use crate::value::{self, Port};
use crate::wire::{Source, Span};
use crate::{Error, Limits};

/// The name of a value, as a hash: a graph has hundreds of thousands, and they are only compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u64);

/// A model that is being read.
pub(crate) struct Skim<'a, R> {
    pub(crate) source: Source<R>,
    pub(crate) limits: &'a Limits,
    pub(crate) folder: Folder,
    pub(crate) functions: BTreeSet<Function>,
    pub(crate) tally: Tally,
    hasher: RandomState,
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operators: BTreeMap<String, u64>,
    pub(crate) parameters: u64,
    pub(crate) weight_bytes: u64,
    nodes: u64,
    initializers: u64,
    values: u64,
    text_bytes: usize,
}

/// What the main graph takes and gives.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
}

/// What holds for the nodes of one graph.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The operator sets in force.
    pub(crate) opsets: &'a BTreeMap<String, i64>,
    /// Number of the field that holds nodes: 1 in a graph, 7 in a function.
    pub(crate) node_field: u32,
    /// How many graphs are around this one.
    pub(crate) depth: u32,
}

impl<'a, R: Read + Seek> Skim<'a, R> {
    pub(crate) fn new(source: Source<R>, folder: Folder, limits: &'a Limits) -> Self {
        Self {
            source,
            limits,
            folder,
            functions: BTreeSet::new(),
            tally: Tally::default(),
            hasher: RandomState::new(),
        }
    }

    /// Reads the main graph at `span`.
    pub(crate) fn main_graph(
        &mut self,
        span: Span,
        opsets: &BTreeMap<String, i64>,
        rows: &mut Rows,
    ) -> Result<Ports, Error> {
        let weights = self.weights(span, Some(rows))?;
        let ports = self.ports(span, &weights)?;
        for input in &ports.inputs {
            rows.begin(self.hash(&input.name), input);
        }
        self.nodes(
            span,
            Scope {
                opsets,
                node_field: 1,
                depth: 0,
            },
            Some(rows),
        )?;
        Ok(ports)
    }

    /// Reads the nodes of the graph, or of the function, at `span`. `rows` is missing where they are not judged.
    pub(crate) fn nodes(
        &mut self,
        span: Span,
        scope: Scope<'_>,
        mut rows: Option<&mut Rows>,
    ) -> Result<(), Error> {
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            if field.number != scope.node_field {
                continue;
            }
            limited(&mut self.tally.nodes, 1, self.limits.nodes, "nodes")?;
            let node = self.node(field.span()?)?;
            self.check_operator(&node, scope)?;
            if let Some(rows) = rows.as_deref_mut() {
                rows.visit(&node, scope.opsets.get(&node.domain).copied().unwrap_or(1));
            }
            // The branches of `If` work on the same rows; loops have been judged as a whole.
            let branches = node.operator == "If";
            for &graph in &node.graphs {
                self.nested_graph(graph, scope, rows.as_deref_mut().filter(|_| branches))?;
            }
        }
        Ok(())
    }

    /// The hash of a value's name; `None` for the empty name.
    pub(crate) fn name(&mut self, span: Span) -> Result<Option<Name>, Error> {
        let text = self
            .source
            .text(span, self.limits.name_bytes, "bytes of one name")?;
        Ok((!text.is_empty()).then(|| self.hash(&text)))
    }

    /// Reads and counts the tensor at `span`.
    pub(crate) fn tensor(&mut self, span: Span) -> Result<Tensor, Error> {
        let tensor = tensor::read(&mut self.source, span, self.limits)?;
        self.count(&tensor)?;
        Ok(tensor)
    }

    /// Reads and counts the sparse tensor at `span`; returns its values.
    pub(crate) fn sparse_tensor(&mut self, span: Span) -> Result<Tensor, Error> {
        let (values, indices) = tensor::read_sparse(&mut self.source, span, self.limits)?;
        self.count(&values)?;
        if let Some(indices) = &indices {
            self.folder.check(indices)?;
            self.tally.weight_bytes = self.tally.weight_bytes.saturating_add(indices.bytes);
        }
        Ok(values)
    }

    /// Counts values that nodes write.
    pub(crate) fn values(&mut self, count: usize) -> Result<(), Error> {
        let most = self.limits.nodes.saturating_mul(3);
        limited(&mut self.tally.values, count as u64, most, "values")
    }

    /// Counts text that the summary keeps.
    pub(crate) fn keep_text(&mut self, bytes: usize) -> Result<(), Error> {
        self.tally.text_bytes += bytes;
        if self.tally.text_bytes <= self.limits.text_bytes {
            Ok(())
        } else {
            Err(Error::TooLarge {
                what: "text in names and metadata",
                limit: self.limits.text_bytes as u64,
            })
        }
    }

    pub(crate) fn hash(&self, text: &str) -> Name {
        Name(self.hasher.hash_one(text))
    }

    fn count(&mut self, tensor: &Tensor) -> Result<(), Error> {
        self.folder.check(tensor)?;
        self.tally.parameters = self.tally.parameters.saturating_add(tensor.elements);
        self.tally.weight_bytes = self.tally.weight_bytes.saturating_add(tensor.bytes);
        Ok(())
    }

    /// Reads the weights of the graph at `span`; returns their names.
    fn weights(&mut self, span: Span, mut rows: Option<&mut Rows>) -> Result<HashSet<Name>, Error> {
        let mut weights = HashSet::new();
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            let tensor = match field.number {
                5 => self.tensor(field.span()?)?,
                15 => self.sparse_tensor(field.span()?)?,
                _ => continue,
            };
            limited(
                &mut self.tally.initializers,
                1,
                self.limits.initializers,
                "weights",
            )?;
            if tensor.name.is_empty() {
                return Err(field.malformed("a weight has no name"));
            }
            let name = self.hash(&tensor.name);
            if !weights.insert(name) {
                return Err(Error::DuplicateName {
                    what: "weights",
                    name: shown(&tensor.name),
                });
            }
            if let Some(rows) = rows.as_deref_mut() {
                rows.weight(name, tensor.rank, tensor.integers);
            }
        }
        Ok(weights)
    }

    /// Reads the inputs and outputs of the main graph. An input with a value among the weights has a default (old files
    /// list every weight); callers need not know it.
    fn ports(&mut self, span: Span, weights: &HashSet<Name>) -> Result<Ports, Error> {
        let mut ports = Ports::default();
        let (mut inputs, mut outputs) = (HashSet::new(), HashSet::new());
        let mut cursor = span;
        while let Some(field) = self.source.next(&mut cursor)? {
            let (what, names, list) = match field.number {
                11 => ("inputs", &mut inputs, &mut ports.inputs),
                12 => ("outputs", &mut outputs, &mut ports.outputs),
                _ => continue,
            };
            let port = value::read(&mut self.source, field.span()?, self.limits)?;
            let name = self.hash(&port.name);
            if !names.insert(name) {
                return Err(Error::DuplicateName {
                    what,
                    name: shown(&port.name),
                });
            }
            if field.number == 11 && weights.contains(&name) {
                continue;
            }
            self.keep_text(port.text_bytes())?;
            list.push(port);
            if list.len() > self.limits.ports {
                return Err(Error::TooLarge {
                    what,
                    limit: self.limits.ports as u64,
                });
            }
        }
        Ok(ports)
    }

    fn nested_graph(
        &mut self,
        span: Span,
        scope: Scope<'_>,
        mut rows: Option<&mut Rows>,
    ) -> Result<(), Error> {
        let depth = scope.depth + 1;
        if depth > self.limits.depth {
            return Err(Error::NestedTooDeep {
                limit: self.limits.depth,
            });
        }
        self.weights(span, rows.as_deref_mut())?;
        let scope = Scope {
            opsets: scope.opsets,
            node_field: 1,
            depth,
        };
        self.nodes(span, scope, rows)
    }

    fn check_operator(&mut self, node: &Node, scope: Scope<'_>) -> Result<(), Error> {
        let function = Function::of(node);
        if !self.functions.contains(&function) {
            RUNTIME.check(scope.opsets, &node.domain, &node.operator)?;
        }
        *self.tally.operators.entry(node.full_name()).or_default() += 1;
        Ok(())
    }
}

fn limited(count: &mut u64, more: u64, limit: u64, what: &'static str) -> Result<(), Error> {
    *count += more;
    if *count <= limit {
        Ok(())
    } else {
        Err(Error::TooLarge { what, limit })
    }
}
