//! One connection: its calls, how many there may be, and when it ends.

use std::any::Any;
use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::answers::{self, Body};
use super::call::Call;
use super::infer;
use super::methods::{self, Context, Method};
use crate::errors::{Code, Failure};
use crate::frame::Frame;
use crate::options::Grpc;
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route of calls that lead nowhere.
const NOWHERE: &str = "none";

/// The largest head of a request.
const HEAD_LIMIT: u32 = 64 << 10;

/// What every connection serves. Clones share it.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) frame: Frame,
    pub(super) state: State,
    pub(super) options: Grpc,
    /// Done when the server is to stop.
    pub(super) stop: CancellationToken,
}

/// The calls of one connection.
#[derive(Default)]
struct Calls {
    running: AtomicUsize,
    begun: AtomicU64,
}

impl Service {
    /// Serves a connection from `peer` until it ends: by itself, because it is idle, or because the server is to stop and its calls
    /// have ended.
    pub(super) async fn serve(&self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: IpAddr) {
        let calls = Arc::new(Calls::default());
        let answering = {
            let (service, calls) = (self.clone(), Arc::clone(&calls));
            service_fn(move |request: Request<Incoming>| {
                let (service, calls) = (service.clone(), Arc::clone(&calls));
                async move { Ok::<_, Infallible>(service.counted(&calls, request, peer).await) }
            })
        };
        let most = self.frame.options().requests_per_connection;
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(u32::try_from(most).unwrap_or(u32::MAX))
            .max_header_list_size(HEAD_LIMIT)
            .keep_alive_interval(Some(self.options.keep_alive_interval))
            .keep_alive_timeout(self.options.keep_alive_timeout)
            .serve_connection(TokioIo::new(io), answering);
        let mut connection = std::pin::pin!(connection);
        let mut idle = std::pin::pin!(self.idle(&calls));
        let mut ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection broke");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !ending => {}
                () = idle.as_mut(), if !ending => {}
            }
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
    }

    /// Ends when the connection has had no call for so long that it is not worth keeping; one that has not had any yet, earlier.
    async fn idle(&self, calls: &Calls) {
        let head = self.frame.options().head_timeout;
        tokio::time::sleep(head).await;
        let mut seen = calls.begun.load(Ordering::Relaxed);
        if seen == 0 {
            return;
        }
        let mut look = interval(self.options.idle_timeout.max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.tick().await;
        loop {
            look.tick().await;
            let begun = calls.begun.load(Ordering::Relaxed);
            if begun == seen && calls.running.load(Ordering::Relaxed) == 0 {
                return;
            }
            seen = begun;
        }
    }

    async fn counted(&self, calls: &Arc<Calls>, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        calls.begun.fetch_add(1, Ordering::Relaxed);
        calls.running.fetch_add(1, Ordering::Relaxed);
        let _running = Running(Arc::clone(calls));
        self.answer(request, peer).await
    }

    /// Answers a call. Its future is dropped when the client has gone, and with it the work in the runner.
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        if request.method() != hyper::Method::POST {
            return answers::foreign(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !speaks_grpc(&request) {
            return answers::foreign(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let method = Method::find(request.uri().path());
        let route = method.map_or(NOWHERE, Method::path);
        let (head, body) = request.into_parts();
        let call = Call::begin(&self.frame, route, &head.headers, peer);
        let span = tracing::info_span!("request", request.id = %call.id);
        let answering = AssertUnwindSafe(self.dispatch(&call, method, body))
            .catch_unwind()
            .instrument(span);
        let answered = answering
            .await
            .unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        let mut response = match answered {
            Ok(response) => response,
            Err(failure) => {
                call.end(Some(&failure));
                answers::refusal(&failure)
            }
        };
        if let Ok(id) = HeaderValue::from_str(&call.id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    async fn dispatch(
        &self,
        call: &Arc<Call>,
        method: Option<Method>,
        body: Incoming,
    ) -> Result<Response<Body>, Failure> {
        let context = Context {
            frame: &self.frame,
            state: &self.state,
            call,
        };
        match method {
            None => Err(Failure::new(Code::RouteNotFound, "There is no such method here.")),
            Some(Method::ModelStreamInfer) => infer::stream_of(&context, call, body, self.stop.clone()).await,
            Some(method) => {
                let answered = tokio::time::timeout(call.left(), methods::answer(&context, method, body));
                let message = answered
                    .await
                    .unwrap_or_else(|_| Err(Failure::of(Code::DeadlineExceeded)))?;
                call.end(None);
                Ok(answers::message(message))
            }
        }
    }
}

/// A call that is being answered.
struct Running(Arc<Calls>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

fn speaks_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.and_then(|kind| kind.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| rest.is_empty() || rest == b"+proto" || rest.starts_with(b";"))
}

/// A panic is a bug: it is logged, and the caller learns that something went wrong and nothing else.
fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Failure::internal(format!("a handler panicked: {message}"))
}
