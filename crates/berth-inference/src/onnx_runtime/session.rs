//! Loading and running one model.

use std::sync::Arc;

use berth_domain::tensor::{Datatype, Dimension, TensorSpec};
use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, SessionInputValue};
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::backend::{Model, Optimization, Options, Session, Weights};
use crate::check;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::onnx_runtime::{faults, messages, providers, values};
use crate::tensor::Tensor;

const NO_PREPACKING: &str = "session.disable_prepacking";

pub(crate) struct OnnxSession {
    session: ort::session::Session,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    providers: Vec<String>,
}

pub(crate) fn load(
    environment: &Environment,
    model: &Model,
    options: &Options,
) -> Result<OnnxSession, Error> {
    let path = model.folder.join(&model.graph);
    if !path.is_file() {
        return Err(Error::load(format!("the model has no file `{}`", model.graph)));
    }
    let refused = |source: ort::Error| Error::Load {
        message: messages::of_load(source.message(), &model.folder.to_string_lossy()),
        source: Some(Box::new(source)),
    };
    let session = builder(environment, options)?
        .commit_from_file(&path)
        .map_err(refused)?;
    let inputs = specs("input", session.inputs())?;
    let outputs = specs("output", session.outputs())?;
    let providers = providers::used(&session, options)?;
    Ok(OnnxSession {
        session,
        inputs,
        outputs,
        providers,
    })
}

fn builder(environment: &Environment, options: &Options) -> Result<SessionBuilder, Error> {
    let providers = providers::wanted(options)?;
    let build = || -> ort::Result<SessionBuilder> {
        let mut builder = ort::session::Session::builder(environment)?
            .with_optimization_level(match (options.optimization, options.weights) {
                (Optimization::None, _) => GraphOptimizationLevel::Disable,
                (Optimization::Basic, _) => GraphOptimizationLevel::Level1,
                // What comes after it copies weights into other layouts.
                (Optimization::Extended, _) | (Optimization::All, Weights::Mapped) => {
                    GraphOptimizationLevel::Level2
                }
                (Optimization::All, Weights::Prepacked) => GraphOptimizationLevel::All,
            })?
            .with_intra_threads(options.threads.max(1))?
            // A pattern is kept for every shape that was ever seen, and without the arena it gains nothing.
            .with_memory_pattern(options.arena)?
            .with_config_entry(providers::RECORD_ASSIGNMENT, "1")?;
        if options.weights == Weights::Mapped {
            builder = builder.with_config_entry(NO_PREPACKING, "1")?;
        }
        if options.threads > 1 {
            // Spinning would take the processor from the other models of this machine.
            builder = builder.with_intra_op_spinning(false)?;
        }
        Ok(builder.with_execution_providers(providers)?)
    };
    build().map_err(|source| Error::Load {
        message: format!("the runtime refused the settings: {}", source.message()),
        source: Some(Box::new(source)),
    })
}

fn specs(role: &str, outlets: &[Outlet]) -> Result<Vec<TensorSpec>, Error> {
    outlets.iter().map(|outlet| spec(role, outlet)).collect()
}

fn spec(role: &str, outlet: &Outlet) -> Result<TensorSpec, Error> {
    let name = outlet.name();
    let ValueType::Tensor {
        ty,
        shape,
        dimension_symbols,
    } = outlet.dtype()
    else {
        return Err(Error::load(format!(
            "the {role} `{name}` is {}, and only tensors can be served (for classifiers of scikit-learn: export without \
             ZipMap)",
            outlet.dtype()
        )));
    };
    let Some(datatype) = datatype(*ty) else {
        return Err(Error::load(format!(
            "the {role} `{name}` has elements of type {ty}, which cannot be served"
        )));
    };
    let shape = shape
        .iter()
        .zip(dimension_symbols.iter())
        .map(|(&extent, symbol)| match extent {
            0.. => Dimension::Fixed(extent),
            _ if symbol.is_empty() => Dimension::OPEN,
            _ => Dimension::Symbolic(symbol.clone()),
        })
        .collect();
    Ok(TensorSpec {
        name: name.to_owned(),
        datatype,
        shape,
    })
}

const fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

impl Session for OnnxSession {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn providers(&self) -> &[String] {
        &self.providers
    }

    fn run(
        &mut self,
        inputs: &[(&str, &Tensor)],
        outputs: &[&str],
        interrupt: &Interrupt,
    ) -> Result<Vec<Tensor>, Error> {
        check::fit(&self.inputs, inputs)?;
        let values = inputs
            .iter()
            .map(|&(name, tensor)| Ok((name, values::to_runtime(tensor)?)))
            .collect::<ort::Result<Vec<(&str, SessionInputValue<'_>)>>>()
            .map_err(failed)?;
        // Options of its own for each run: a terminate flag would outlive it.
        let options = Arc::new(RunOptions::new().map_err(failed)?);
        let terminate = Arc::clone(&options);
        let armed = interrupt.arm(move || {
            if let Err(error) = terminate.terminate() {
                tracing::error!(%error, "a run could not be interrupted");
            }
        });
        if armed.is_none() {
            return Err(Error::Interrupted);
        }
        let results = self
            .session
            .run_with_options(values, &*options)
            .map_err(|error| {
                if interrupt.is_triggered() {
                    return Error::Interrupted;
                }
                // The runtime does not compare inputs with each other; some operator stumbles over it later.
                match failed(error) {
                    Error::InvalidInput { message, source } => Error::InvalidInput {
                        message: check::disagreement(&self.inputs, inputs).unwrap_or(message),
                        source,
                    },
                    other => other,
                }
            })?;
        outputs
            .iter()
            .map(|&wanted| {
                let (_, value) = results
                    .iter()
                    .find(|(name, _)| *name == wanted)
                    .ok_or_else(|| Error::failed(format!("the model has no output `{wanted}`")))?;
                values::from_runtime(wanted, &value)
            })
            .collect()
    }
}

/// An error of a run.
fn failed(source: ort::Error) -> Error {
    let message = messages::of_run(source.message());
    let of_data = faults::is_of_data(source.code(), source.message());
    let source = Some(source.into());
    if of_data {
        Error::InvalidInput { message, source }
    } else {
        Error::Failed { message, source }
    }
}
