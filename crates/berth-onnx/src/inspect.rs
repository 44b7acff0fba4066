//! The skimmer's entry: a whole model.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use berth_domain::tensor::{Dimension, TensorSpec};

use crate::error::shown;
use crate::external::Folder;
use crate::graph::{Ports, Skim};
use crate::operators::RUNTIME;
use crate::rows::Rows;
use crate::tensor;
use crate::value::{Kind, Port};
use crate::wire::{Source, Span};
use crate::{Error, GraphSummary, Limits};

/// Reads and judges the model at the relative path `graph` in `folder`.
///
/// Fails with the first thing that is wrong, see [`Error::code`]. Memory does not grow with the file, and time at most
/// linearly.
pub fn inspect(folder: &Path, graph: &str, limits: &Limits) -> Result<GraphSummary, Error> {
    skim(File::open(folder.join(graph))?, folder, graph, limits)
}

/// As [`inspect()`], from anything that can be read; external data is looked for in `folder`.
pub fn skim<R: Read + Seek>(
    file: R,
    folder: &Path,
    graph: &str,
    limits: &Limits,
) -> Result<GraphSummary, Error> {
    let mut source = Source::new(file)?;
    let whole = source.whole();
    if whole.length() > limits.graph_bytes {
        return Err(Error::TooLarge {
            what: "bytes in the file with the graph; keep the weights in a file beside it (external data)",
            limit: limits.graph_bytes,
        });
    }
    refuse_other_format(&mut source)?;
    let mut skim = Skim::new(source, Folder::new(folder, graph, limits), limits);
    let model = skim.model(whole)?;
    if model.ir_version > RUNTIME.ir_version {
        return Err(Error::IrUnsupported {
            version: model.ir_version,
            newest: RUNTIME.ir_version,
            runtime: RUNTIME.version,
        });
    }
    if model.imports.is_empty() {
        return Err(Error::OpsetMissing);
    }
    let opsets = RUNTIME.opsets(&model.imports)?;
    let mut rows = Rows::default();
    skim.read_functions(&model.functions, &mut rows)?;
    let ports = skim.main_graph(model.graph, &opsets, &mut rows)?;
    let mut summary = GraphSummary {
        path: graph.to_owned(),
        ir_version: model.ir_version,
        opsets: model.imports,
        inputs: Vec::new(),
        outputs: Vec::new(),
        other_outputs: Vec::new(),
        unshaped_outputs: Vec::new(),
        operators: skim.tally.operators,
        parameters: skim.tally.parameters,
        weight_bytes: skim.tally.weight_bytes,
        external_tensors: skim.folder.tensors(),
        external_files: skim.folder.into_files(),
        producer: model.producer,
        rows_depend_on_neighbors: false,
        mixing_operators: rows.into_mixing(),
        metadata: model.metadata,
    };
    summary.rows_depend_on_neighbors = !summary.mixing_operators.is_empty();
    describe(ports, &mut summary)?;
    Ok(summary)
}

/// What a `ModelProto` says at its top.
struct Model {
    ir_version: i64,
    imports: BTreeMap<String, i64>,
    producer: String,
    metadata: BTreeMap<String, String>,
    graph: Span,
    functions: Vec<Span>,
}

/// The runtime has a format of its own, which it recognizes by these bytes whatever the file is called. What is
/// skimmed here as protobuf must not be read there as something else.
fn refuse_other_format<R: Read + Seek>(source: &mut Source<R>) -> Result<(), Error> {
    if source.starts_with_at(4, b"ORTM")? {
        return Err(Error::Malformed {
            offset: 4,
            what: "it is in ONNX Runtime's own format; upload the ONNX file that it was made from",
        });
    }
    Ok(())
}

impl<R: Read + Seek> Skim<'_, R> {
    fn model(&mut self, whole: Span) -> Result<Model, Error> {
        let (mut ir_version, mut graph, mut producer, mut release) = (None, None, None, None);
        let (mut imports, mut metadata, mut functions) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut cursor = whole;
        while let Some(field) = self.source.next(&mut cursor)? {
            match field.number {
                1 => field.once(&mut ir_version, field.integer()?)?,
                2 | 3 => {
                    let text =
                        self.source
                            .text(field.span()?, self.limits.name_bytes, "bytes of one text")?;
                    let slot = if field.number == 2 {
                        &mut producer
                    } else {
                        &mut release
                    };
                    field.once(slot, text)?;
                }
                7 => field.once(&mut graph, field.span()?)?,
                8 => self.opset_import(field.span()?, &mut imports)?,
                14 => {
                    let (key, value) =
                        tensor::entry(&mut self.source, field.span()?, self.limits.text_bytes)?;
                    // An empty entry takes memory too.
                    self.keep_text(key.len() + value.len() + 64)?;
                    metadata.insert(key, value);
                }
                25 => {
                    functions.push(field.span()?);
                    if functions.len() > self.limits.functions {
                        return Err(Error::TooLarge {
                            what: "functions",
                            limit: self.limits.functions as u64,
                        });
                    }
                }
                _ => {}
            }
        }
        let missing = |what| Error::Malformed { offset: 0, what };
        let producer = [producer, release]
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty());
        Ok(Model {
            ir_version: ir_version.ok_or_else(|| missing("it states no IR version"))?,
            imports,
            producer: producer.collect::<Vec<_>>().join(" "),
            metadata,
            graph: graph.ok_or_else(|| missing("it has no graph"))?,
            functions,
        })
    }
}

fn describe(ports: Ports, summary: &mut GraphSummary) -> Result<(), Error> {
    for input in ports.inputs {
        summary.inputs.push(describe_input(input)?);
    }
    for Port { name, kind } in ports.outputs {
        match kind {
            Kind::Tensor { datatype, shape } => {
                if shape.is_none() {
                    summary.unshaped_outputs.push(name.clone());
                }
                summary.outputs.push(TensorSpec {
                    name,
                    datatype,
                    shape: shape.unwrap_or_else(|| vec![Dimension::OPEN]),
                });
            }
            Kind::OtherTensor(_) | Kind::Other => summary.other_outputs.push(name),
        }
    }
    if summary.outputs.is_empty() {
        Err(Error::WithoutOutputs)
    } else {
        Ok(())
    }
}

fn describe_input(port: Port) -> Result<TensorSpec, Error> {
    let unsupported = |what: String| Error::TypeUnsupported {
        input: shown(&port.name),
        what,
    };
    match port.kind {
        Kind::Tensor {
            datatype,
            shape: Some(shape),
        } => Ok(TensorSpec {
            name: port.name,
            datatype,
            shape,
        }),
        Kind::Tensor { shape: None, .. } => Err(unsupported(
            "states no shape, not even how many dimensions: export the model with shapes".to_owned(),
        )),
        Kind::OtherTensor(element_type) => Err(unsupported(format!(
            "has the ONNX element type {element_type}, which no request can carry: cast it inside the graph"
        ))),
        Kind::Other => Err(unsupported(
            "is not a tensor (a sequence, a map, an optional value or nothing that is stated)".to_owned(),
        )),
    }
}
