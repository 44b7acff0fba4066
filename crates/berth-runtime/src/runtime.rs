//! One loaded model that answers requests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use berth_domain::clock::Clock;
use berth_domain::manifest::{Manifest, Task};
use berth_domain::tensor::TensorSpec;
use berth_inference::{Backend, Error, Model, Tensor};
use berth_protocol::runner::{InferRequest, InferResponse, Operation, Units};
use berth_protocol::transport::MESSAGE_LIMIT_BYTES;

use crate::compute::{Compute, ComputeOptions};
use crate::embeddings::{self, Plan, TokenizerError, Tokens, Unfit};
use crate::engine::{self, Done, Lane, LaneOptions, Piece, Times};
use crate::failure::{Code, Failure};
use crate::offload::Offload;
use crate::oip::{self, Written};
use crate::work::{Joining, Loaded, Product, Work};

/// What a run weighs before it is known what is best: rows, or tokens where texts are embedded.
const USUAL_ROWS: u64 = 4;
const USUAL_TOKENS: u64 = 256;

/// How a model is loaded and served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How the backend loads it.
    pub inference: berth_inference::Options,
    /// How many requests may wait for their turn.
    pub queue_requests: usize,
    /// How many rows one run has at most, of a model that takes tensors.
    pub batch_rows: usize,
    /// How many tokens one run reads at most, padding included, of a model that embeds texts. How large runs really are is
    /// learned; this bounds the memory that they hold.
    pub batch_tokens: usize,
    /// How long a request waits at most for others to share its run with.
    pub batch_delay: Duration,
    /// Most bytes of one answer.
    pub answer_bytes: usize,
    /// What its runs are noted by, where notes are taken.
    pub mark: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            inference: berth_inference::Options::default(),
            queue_requests: 256,
            batch_rows: 64,
            batch_tokens: 2048,
            batch_delay: Duration::from_millis(5),
            // Some room for the other fields of the message.
            answer_bytes: MESSAGE_LIMIT_BYTES - 4096,
            mark: 0,
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
    joining: Joining,
    lane: Lane<Loaded>,
    offload: Offload,
    answer_bytes: usize,
}

/// How busy a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How many requests wait for their turn, and the weight of their work: rows, or tokens where texts are embedded.
    pub waiting_requests: usize,
    /// See there.
    pub waiting_weight: u64,
    /// How long a newcomer would wait.
    pub expected_wait: Duration,
    /// What one run weighs at most, as learned so far.
    pub batch_weight: u64,
}

/// The side of text embedding that needs no session.
struct Texts {
    tokens: Tokens,
    dimensions: u32,
}

impl Runtime {
    /// Loads the model in `folder`, with a compute thread of its own. Fails with a reason for the owner of the model.
    pub fn load(
        backend: &dyn Backend,
        folder: &Path,
        manifest: &Manifest,
        options: &Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LoadError> {
        let compute = Compute::start(ComputeOptions::default()).map_err(LoadError::Thread)?;
        Self::load_on(&compute, backend, folder, manifest, options, clock)
    }

    /// The same on threads that compute other models too.
    pub fn load_on(
        compute: &Compute,
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
                let plan = Plan::new(manifest, embedding, (&inputs, &outputs), tokens.padding_id())
                    .map_err(LoadError::Unfit)?;
                let dimensions = embedding.dimensions;
                (Some(Texts { tokens, dimensions }), Some(plan))
            }
        };
        let joining = Joining::new(
            (&inputs, &outputs),
            !manifest.batching.rows_depend_on_neighbors,
            plan.as_ref(),
            (options.batch_rows, options.batch_tokens),
        );
        let lane = LaneOptions {
            queue_requests: options.queue_requests,
            longest_wait: options.batch_delay,
            usual_weight: if plan.is_some() { USUAL_TOKENS } else { USUAL_ROWS },
            most_weight: u64::try_from(if plan.is_some() {
                options.batch_tokens
            } else {
                options.batch_rows
            })
            .unwrap_or(u64::MAX),
            mark: options.mark,
        };
        let lane = compute.0.open(Loaded::new(session, plan), lane);
        Ok(Self(Arc::new(Inner {
            clock,
            inputs,
            outputs,
            providers,
            texts,
            joining,
            lane,
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

    /// How busy it is.
    pub fn stats(&self) -> Stats {
        let standing = self.0.lane.standing();
        Stats {
            waiting_requests: standing.requests,
            waiting_weight: standing.weight,
            expected_wait: standing.wait,
            batch_weight: standing.limit,
        }
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
        let begun = Instant::now();
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
        let tenant = self.tenant(request);
        let (pieces, places) = self.0.joining.texts(rows);
        let prepared = begun.elapsed();
        let done = self.0.lane.run(tenant, pieces, deadline).await?;
        let post = Instant::now();
        let dimensions = usize::try_from(dimensions).unwrap_or(1);
        let (vectors, times) = in_order(done, &places, dimensions)?;
        let size = vectors.len() * if base64 { 6 } else { 13 };
        let named = Arc::clone(request);
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
        self.respond(Written::json(body), units, times, (prepared, post.elapsed()))
    }

    async fn run_graph(&self, request: &Arc<InferRequest>) -> Result<InferResponse, Failure> {
        let begun = Instant::now();
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
        let (tenant, prepared) = (self.tenant(request), begun.elapsed());
        let (outputs, times) = self
            .run_tensors(tenant, asked.inputs, names.clone(), deadline)
            .await?;
        let post = Instant::now();
        let size = outputs.iter().map(|tensor| tensor.elements().len() * 8).sum();
        let (named, answer_bytes) = (Arc::clone(request), self.0.answer_bytes);
        let render = move |_: &AtomicBool| {
            let outputs: Vec<_> = names.into_iter().zip(outputs).collect();
            form.write(&named.model, &named.version, &outputs, answer_bytes)
        };
        let written = self.0.offload.run(size, deadline, render).await?;
        self.respond(written, units, times, (prepared, post.elapsed()))
    }

    /// Runs the graph on tensors, in its turn among those of this tenant.
    pub(crate) async fn run_tensors(
        &self,
        tenant: u64,
        inputs: Vec<(String, Tensor)>,
        outputs: Vec<String>,
        deadline: Option<Instant>,
    ) -> Result<(Vec<Tensor>, Times), Failure> {
        let piece = self.0.joining.tensors(inputs, outputs, self.0.texts.is_some());
        let pieces: Vec<Piece<Work>> = vec![piece];
        let mut done = self.0.lane.run(tenant, pieces, deadline).await?;
        match done.products.pop() {
            Some(Product::Tensors(outputs)) => Ok((outputs, done.times)),
            _ => Err(mixed_up()),
        }
    }

    /// Whose request it is, for fairness.
    fn tenant(&self, request: &InferRequest) -> u64 {
        self.0.lane.tenant(&request.organization, &request.project)
    }

    fn respond(
        &self,
        written: Written,
        units: Units,
        times: Times,
        (prepared, post): (Duration, Duration),
    ) -> Result<InferResponse, Failure> {
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
            prepare_us: microseconds(prepared),
            batch_wait_us: microseconds(times.held),
            post_us: microseconds(post),
            batch_requests: times.batch_requests,
            batch_weight: times.batch_weight,
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

/// The vectors in the order of the texts.
fn in_order(
    done: Done<Product>,
    places: &[Vec<usize>],
    dimensions: usize,
) -> Result<(Vec<f32>, Times), Failure> {
    let rows = places.iter().map(Vec::len).sum::<usize>();
    let mut vectors = vec![0.0; rows * dimensions];
    for (product, places) in done.products.into_iter().zip(places) {
        let Product::Vectors(own) = product else {
            return Err(mixed_up());
        };
        for (vector, place) in own.chunks_exact(dimensions.max(1)).zip(places) {
            let start = place * dimensions;
            vectors[start..start + dimensions].copy_from_slice(vector);
        }
    }
    Ok((vectors, done.times))
}

fn mixed_up() -> Failure {
    Failure::new(Code::Internal, "The compute thread mixed up its work.")
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
