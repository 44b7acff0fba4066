//! One loaded model that answers requests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use berth_domain::clock::Clock;
use berth_domain::manifest::{Manifest, Task, TextEmbedding};
use berth_domain::tensor::TensorSpec;
use berth_inference::{Backend, Error, Model, Tensor};
use berth_protocol::runner::{InferRequest, InferResponse, Operation, Units};
use berth_protocol::transport::MESSAGE_LIMIT_BYTES;

use crate::embeddings::{self, Plan, TokenizerError, Tokens, Unfit};
use crate::engine::{self, Engine};
use crate::failure::{Code, Failure};
use crate::offload::Offload;
use crate::oip::{self, Written};
use crate::work::{Product, Times, Work, executor, split};

/// How a model is loaded and served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How the backend loads it.
    pub inference: berth_inference::Options,
    /// How many requests may wait for their turn.
    pub queue_requests: usize,
    /// How many tokens one run reads at most, padding included. More is faster for many rows and holds more memory.
    pub batch_tokens: usize,
    /// Most bytes of one answer.
    pub answer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inference: berth_inference::Options::default(),
            queue_requests: 256,
            batch_tokens: 2048,
            // Some room for the other fields of the message.
            answer_bytes: MESSAGE_LIMIT_BYTES - 4096,
        }
    }
}

/// Why a model cannot be served. The texts are for the owner of the model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The backend cannot load it.
    #[error("the model cannot be loaded")]
    Backend(#[source] Error),
    /// The manifest says that it embeds texts, and not how.
    #[error("the manifest's task is text embedding, and it does not say how texts become vectors")]
    NoTextEmbedding,
    /// Its tokenizer cannot be used.
    #[error("the model's tokenizer cannot be used")]
    Tokenizer(#[source] TokenizerError),
    /// Its graph cannot embed texts as the manifest says.
    #[error("the model's graph does not embed texts as the manifest says")]
    Unfit(#[source] Unfit),
    /// The system gives no thread.
    #[error("the compute thread could not be started")]
    Thread(#[source] io::Error),
}

/// A loaded model that answers requests. Clones are the same model.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    providers: Vec<String>,
    texts: Option<Texts>,
    engine: Engine<Work, Product>,
    offload: Offload,
    answer_bytes: usize,
}

/// The side of text embedding that needs no session.
struct Texts {
    tokens: Tokens,
    dimensions: u32,
}

impl Runtime {
    /// Loads the model in `folder` and starts its compute thread. Fails with a reason for the owner of the model.
    pub fn load(
        backend: &dyn Backend,
        folder: &Path,
        manifest: &Manifest,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LoadError> {
        let model = Model {
            folder: folder.to_owned(),
            graph: manifest.graph.clone(),
        };
        // The tokenizer first: it fails faster, and its garbage is given back together with the session's.
        let embedding = match (manifest.task, &manifest.text_embedding) {
            (Task::TextEmbedding, None) => return Err(LoadError::NoTextEmbedding),
            (Task::TextEmbedding, Some(embedding)) => Some(embedding),
            (Task::Tensors, _) => None,
        };
        let tokens = embedding
            .map(|embedding| Tokens::load(folder, embedding))
            .transpose();
        let tokens = tokens.map_err(LoadError::Tokenizer)?;
        let session = backend
            .load(&model, &options.inference)
            .map_err(LoadError::Backend)?;
        let (inputs, outputs) = (session.inputs().to_vec(), session.outputs().to_vec());
        let providers = session.providers().to_vec();
        let (texts, plan) = match embedding.zip(tokens) {
            None => (None, None),
            Some((embedding, tokens)) => {
                let plan = plan(manifest, embedding, (&inputs, &outputs), &tokens, options)?;
                let dimensions = embedding.dimensions;
                (Some(Texts { tokens, dimensions }), Some(plan))
            }
        };
        let engine =
            Engine::start(options.queue_requests, executor(session, plan)).map_err(LoadError::Thread)?;
        Ok(Self(Arc::new(Inner {
            clock,
            inputs,
            outputs,
            providers,
            texts,
            engine,
            offload: Offload::new(),
            answer_bytes: options.answer_bytes,
        })))
    }

    /// The graph's inputs.
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.0.inputs
    }

    /// The graph's outputs.
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.0.outputs
    }

    /// The execution providers that the model really runs on.
    pub fn providers(&self) -> &[String] {
        &self.0.providers
    }

    /// Whether the model embeds texts.
    pub fn embeds_texts(&self) -> bool {
        self.0.texts.is_some()
    }

    /// Answers a request. A failure is part of the answer. Dropping the future takes the request back.
    pub async fn infer(&self, request: InferRequest) -> InferResponse {
        let request = Arc::new(request);
        let answered = match request.operation() {
            Operation::Embeddings => self.embed(&request).await,
            Operation::OipInfer | Operation::OipGrpcInfer => self.run_graph(&request).await,
            Operation::Unspecified => Err(Failure::new(
                Code::OperationNotSupported,
                "The request names no operation.",
            )),
        };
        answered.unwrap_or_else(|failure| {
            log(&request, &failure);
            InferResponse {
                failure: Some(failure.into_wire()),
                ..InferResponse::default()
            }
        })
    }

    async fn embed(&self, request: &Arc<InferRequest>) -> Result<InferResponse, Failure> {
        if self.0.texts.is_none() {
            return Err(Failure::new(
                Code::OperationNotSupported,
                "This model takes tensors and does not embed texts; use the Open Inference Protocol.",
            ));
        }
        let deadline = self.deadline(request)?;
        let (inner, body) = (Arc::clone(&self.0), request.body.clone());
        let prepare = move |gone: &AtomicBool| {
            let texts = inner
                .texts
                .as_ref()
                .ok_or_else(|| Failure::new(Code::Internal, "The tokenizer is gone."))?;
            let asked = embeddings::Request::parse(&body, texts.dimensions)?;
            let wanted = || {
                if gone.load(Ordering::Relaxed) {
                    Err(engine::late())
                } else {
                    Ok(())
                }
            };
            let base64 = asked.base64;
            Ok((texts.tokens.rows(asked.input, wanted)?, base64, texts.dimensions))
        };
        let (rows, base64, dimensions) = self.0.offload.run(request.body.len(), deadline, prepare).await?;
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let tokens = rows.iter().map(|row| u64::try_from(row.len()).unwrap_or(0)).sum();
        let done = self.0.engine.run(Work::Embed(rows), deadline).await?;
        let (Product::Vectors(vectors), times) = split(done) else {
            return Err(Failure::new(
                Code::Internal,
                "The compute thread mixed up its work.",
            ));
        };
        let size = vectors.len() * if base64 { 6 } else { 13 };
        let named = Arc::clone(request);
        let dimensions = usize::try_from(dimensions).unwrap_or(1);
        let render = move |_: &AtomicBool| {
            Ok(embeddings::answer(
                &named.model,
                &vectors,
                dimensions,
                tokens,
                base64,
            ))
        };
        let body = self.0.offload.run(size, deadline, render).await?;
        let units = Units {
            input_tokens: tokens,
            output_tokens: 0,
            rows: count,
        };
        self.respond(Written::json(body), units, times)
    }

    async fn run_graph(&self, request: &Arc<InferRequest>) -> Result<InferResponse, Failure> {
        let deadline = self.deadline(request)?;
        let (inner, named) = (Arc::clone(&self.0), Arc::clone(request));
        let prepare = move |_: &AtomicBool| oip::Request::parse(&named, &inner.inputs, &inner.outputs);
        let asked = self.0.offload.run(request.body.len(), deadline, prepare).await?;
        let rows = asked
            .inputs
            .iter()
            .filter_map(|(_, tensor)| tensor.shape().first())
            .max();
        let units = Units {
            input_tokens: 0,
            output_tokens: 0,
            rows: rows.map_or(1, |&rows| u64::try_from(rows).unwrap_or(u64::MAX)),
        };
        let (form, names) = (asked.form, asked.outputs);
        let (outputs, times) = self.run_tensors(asked.inputs, names.clone(), deadline).await?;
        let size = outputs.iter().map(|tensor| tensor.elements().len() * 8).sum();
        let (named, answer_bytes) = (Arc::clone(request), self.0.answer_bytes);
        let render = move |_: &AtomicBool| {
            let outputs: Vec<_> = names.into_iter().zip(outputs).collect();
            form.write(&named.model, &named.version, &outputs, answer_bytes)
        };
        let written = self.0.offload.run(size, deadline, render).await?;
        self.respond(written, units, times)
    }

    /// Runs the graph on tensors, in its turn.
    pub(crate) async fn run_tensors(
        &self,
        inputs: Vec<(String, Tensor)>,
        outputs: Vec<String>,
        deadline: Option<Instant>,
    ) -> Result<(Vec<Tensor>, Times), Failure> {
        let done = self.0.engine.run(Work::Run { inputs, outputs }, deadline).await?;
        match split(done) {
            (Product::Tensors(outputs), times) => Ok((outputs, times)),
            (Product::Vectors(_), _) => Err(Failure::new(
                Code::Internal,
                "The compute thread mixed up its work.",
            )),
        }
    }

    fn respond(&self, written: Written, units: Units, times: Times) -> Result<InferResponse, Failure> {
        if written.body.len() > self.0.answer_bytes {
            return Err(Failure::answer_too_large(self.0.answer_bytes));
        }
        Ok(InferResponse {
            body: written.body,
            content_type: written.content_type.to_owned(),
            units: Some(units),
            compute_us: microseconds(times.computed),
            queue_us: microseconds(times.queued),
            failure: None,
            header_bytes: written.header_bytes,
        })
    }

    /// When the answer is no longer wanted. Fails when that has passed already.
    fn deadline(&self, request: &InferRequest) -> Result<Option<Instant>, Failure> {
        if request.deadline_unix_ms == 0 {
            return Ok(None);
        }
        let now = u64::try_from(self.0.clock.now().timestamp_millis()).unwrap_or(0);
        match request.deadline_unix_ms.checked_sub(now) {
            None | Some(0) => Err(engine::late()),
            // A deadline beyond what can be counted is none.
            Some(left) => Ok(Instant::now().checked_add(Duration::from_millis(left))),
        }
    }
}

fn plan(
    manifest: &Manifest,
    embedding: &TextEmbedding,
    specs: (&[TensorSpec], &[TensorSpec]),
    tokens: &Tokens,
    options: &Options,
) -> Result<Plan, LoadError> {
    Plan::new(
        manifest,
        embedding,
        specs,
        tokens.padding_id(),
        options.batch_tokens,
    )
    .map_err(LoadError::Unfit)
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Failures that an operator should see; those of callers are their own. Without the words: they may quote the data.
fn log(request: &InferRequest, failure: &Failure) {
    use berth_protocol::runner::FailureKind;
    if matches!(failure.code.kind(), FailureKind::Model | FailureKind::Internal) {
        tracing::warn!(
            request.id = %request.request_id,
            organization.id = %request.organization,
            model = %request.model,
            code = failure.code.as_str(),
            "a request failed in the model"
        );
    }
}
