//! Traces, exported by OTLP over HTTP.
//!
//! A process exports once [`install`] was called; until then [`begin`] gives nothing and costs nothing. Spans carry ids and names,
//! never what goes into and comes out of models. What the collector does not take in time is dropped and told in the log:
//! nobody waits for it.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanBuilder, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

pub use opentelemetry::Value;
pub use opentelemetry::trace::SpanKind as Kind;

/// How long the collector may take for a batch of spans.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a process that ends waits for the last batch.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Where spans go, and who says so.
#[derive(Debug, Clone)]
pub struct Options {
    /// The collector's whole address for traces, as in `http://127.0.0.1:4318/v1/traces`.
    pub url: String,
    /// Which part of the requests is traced whose callers do not say themselves whether they trace; from 0 to 1.
    pub ratio: f64,
    /// The program's part, as in `berth-api`.
    pub service: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The machine.
    pub instance: String,
}

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none, or the client cannot be made.
    #[error("traces cannot be exported")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The HTTP client cannot be made.
    #[error("the client for exporting traces cannot be made")]
    Client(#[from] reqwest::Error),
    /// Another call came first.
    #[error("traces are exported already")]
    Installed,
}

/// What exports. Let it [`finish`](Self::finish) before the process ends.
#[derive(Debug)]
pub struct Export(SdkTracerProvider);

impl Export {
    /// Exports what is left, for at most five seconds. It blocks.
    pub fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// Begins to export. Call it outside of an event loop, after the process has chosen its cryptography.
pub fn install(options: &Options) -> Result<Export, Error> {
    let client = reqwest::blocking::Client::builder()
        .timeout(EXPORT_TIMEOUT)
        .build()?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(&options.url)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let resource = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", options.service),
        KeyValue::new("service.version", options.version),
        KeyValue::new("service.instance.id", options.instance.clone()),
    ]);
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            options.ratio,
        ))))
        .with_resource(resource.build())
        .build();
    TRACER
        .set(provider.tracer("berth"))
        .map_err(|_| Error::Installed)?;
    Ok(Export(provider))
}

/// A part of a trace. Clones are the same; the last one ends it.
#[derive(Debug, Clone)]
pub struct Span(Context);

/// A part of a trace of which all is known.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// What was done, in a few words that are the same each time.
    pub name: Cow<'static, str>,
    /// Whether others were asked.
    pub kind: Kind,
    /// When it began.
    pub begun: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What is known of it.
    pub attributes: &'a [(&'static str, Value)],
}

/// Begins a part of the trace of `traceparent` (W3C Trace Context), or a trace of its own without one that is valid; `None` when
/// this process exports nothing.
pub fn begin(name: &'static str, kind: Kind, traceparent: Option<&str>) -> Option<Span> {
    let tracer = TRACER.get()?;
    let around = traceparent.and_then(parse);
    let around = around.map_or_else(Context::new, |parent| {
        Context::new().with_remote_span_context(parent)
    });
    let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), &around);
    Some(Span(around.with_span(span)))
}

impl Span {
    /// What the next one is told, in the form of W3C Trace Context.
    pub fn traceparent(&self) -> String {
        let span = self.0.span();
        let context = span.span_context();
        let flags = context.trace_flags() & TraceFlags::SAMPLED;
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            flags.to_u8()
        )
    }

    /// Whether it will be exported: what is told to others is dropped.
    pub fn is_recorded(&self) -> bool {
        self.0.span().is_recording()
    }

    /// Calls it otherwise, now that more is known.
    pub fn rename(&self, name: String) {
        self.0.span().update_name(name);
    }

    /// Tells something of it. Names are those of OpenTelemetry's semantic conventions where they have one, or begin with `berth.`.
    pub fn tell(&self, name: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(name, value));
    }

    /// It failed, and this side is at fault.
    pub fn fail(&self, why: &str) {
        self.0.span().set_status(Status::error(why.to_owned()));
    }

    /// It is over. Later calls do nothing.
    pub fn end(&self) {
        self.0.span().end();
    }

    /// Adds a part that is over. Gives it, for parts of its own.
    pub fn part(&self, part: Part<'_>) -> Self {
        // One that is over is recorded no more, and has parts all the same.
        let sampled = self.0.span().span_context().is_sampled();
        let Some(tracer) = TRACER.get().filter(|_| sampled) else {
            return self.clone();
        };
        let attributes = part.attributes.iter();
        let builder = SpanBuilder::from_name(part.name)
            .with_kind(part.kind)
            .with_start_time(part.begun)
            .with_attributes(attributes.map(|(name, value)| KeyValue::new(*name, value.clone())));
        let over = self.0.with_span(tracer.build_with_context(builder, &self.0));
        over.span().end_with_timestamp(part.begun + part.took);
        Self(over)
    }
}

/// Reads what [`Span::traceparent`] writes.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}
