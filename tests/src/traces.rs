//! What a collector of traces gets to see.

use std::sync::{Arc, Mutex, PoisonError};

use berth_test_support::{minilm_folder, wait_until};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;

use crate::installation::{Cluster, LIMIT};
use crate::tenant::{Tenant, http, packed};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Takes what is exported, each span with the name of the service.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, Span)>>>);

impl Collector {
    /// Listens until the test ends; gives the address for exporters.
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("has an address");
        let collector = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let collector = collector.clone();
                let answer = service_fn(move |request| collector.clone().take(request));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(connection), answer);
                tokio::spawn(serving);
            }
        });
        format!("http://{address}/v1/traces")
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
        assert_eq!(request.uri().path(), "/v1/traces");
        let body = request.into_body().collect().await?.to_bytes();
        let export = ExportTraceServiceRequest::decode(body).expect("is an export");
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in export.resource_spans {
            let resource_text = format!("{:?}", resource.resource);
            let service = ["berth-api", "berth-tasks"]
                .into_iter()
                .find(|name| resource_text.contains(name));
            let service = service.expect("names its service");
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            taken.extend(spans.map(|span| (service.to_owned(), span)));
        }
        Ok(Response::new(Empty::new()))
    }

    fn taken(&self) -> Vec<(String, Span)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test]
async fn collector_sees_a_request_down_to_the_runner_within_the_trace_of_its_caller() {
    let collector = Collector::default();
    let url = collector.listen().await;
    let cluster = Cluster::start_with(&[
        ("BERTH_TELEMETRY__TRACES_URL", &url),
        ("BERTH_TELEMETRY__TRACES_RATIO", "1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ])
    .await
    .expect("starts");
    let api = cluster.address().to_owned();
    let tenant = Tenant::sign_up(&api, "tenant").await.expect("signs up");
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    tenant
        .serve("minilm", "model.tar.gz", archive)
        .await
        .expect("is served");
    let key = tenant.make_key().await.expect("makes a key");
    let answer = http()
        .post(format!("{api}/v1/embeddings"))
        .bearer_auth(&key.text)
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({"model": "minilm", "input": "nobody else reads this"}))
        .send()
        .await
        .expect("it answers");
    let request = answer.headers()["x-request-id"]
        .to_str()
        .expect("is text")
        .to_owned();
    assert!(answer.status().is_success());

    let traced = || {
        let all = collector.taken();
        let ours = all.into_iter().filter(|(_, span)| hex(&span.trace_id) == TRACE);
        ours.map(|(_, span)| span).collect::<Vec<_>>()
    };
    wait_until(LIMIT, || {
        let there = traced().iter().any(|span| span.name == "POST /v1/embeddings");
        std::future::ready(there)
    })
    .await
    .expect("is exported");
    let spans = traced();
    let named = |name: &str| {
        let found = spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("`{name}` is not among {spans:?}"))
    };
    let root = named("POST /v1/embeddings");
    assert_eq!(hex(&root.parent_span_id), CALLER);
    assert_eq!(root.kind(), SpanKind::Server);
    let told = format!("{:?}", root.attributes);
    for fact in [request.as_str(), "minilm", "http.response.status_code", "200"] {
        assert!(told.contains(fact), "`{fact}` is missing in {told}");
    }
    for name in ["admit", "resolve", "attempt"] {
        assert_eq!(named(name).parent_span_id, root.span_id, "{name}");
    }
    let attempt = named("attempt");
    for name in ["prepare", "queue", "batch wait", "compute", "post"] {
        let stage = named(name);
        assert_eq!(stage.parent_span_id, attempt.span_id, "{name}");
        assert!(
            stage.start_time_unix_nano >= attempt.start_time_unix_nano,
            "{name}"
        );
        assert!(stage.end_time_unix_nano <= attempt.end_time_unix_nano, "{name}");
    }

    let all = collector.taken();
    assert!(!format!("{all:?}").contains("nobody else reads this"));
    let uploads = all.iter().filter(|(_, span)| span.name.contains("versions"));
    let uploads: Vec<_> = uploads.map(|(_, span)| &span.span_id).collect();
    let checks = all
        .iter()
        .filter(|(service, span)| service == "berth-tasks" && span.kind() == SpanKind::Consumer);
    assert!(
        checks
            .clone()
            .any(|(_, span)| uploads.contains(&&span.parent_span_id)),
        "no queued work belongs to an upload: {:?}",
        checks.collect::<Vec<_>>()
    );
}
