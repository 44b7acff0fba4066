//! Clients that give up over HTTP/2.
//!
//! Over HTTP/1 a client that gives up closes its connection, and the connection drops what it was answering. Over HTTP/2
//! each request is a task of its own, which nobody drops. So the stream of its body is asked now and then, once the body
//! has been read: it knows whether the client has reset the stream or closed the connection.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};

/// How often a client is looked for. What it wastes by giving up is bounded by this.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The end of a client's patience.
pub(super) struct Departure(Option<Rc<RefCell<Body>>>);

struct Body {
    payload: Payload,
    /// Whether everything was read: before that, asking would take bytes from the handler.
    read: bool,
}

impl Departure {
    /// Watches the client of `request`.
    pub(super) fn watch(request: &mut ServiceRequest) -> Self {
        match request.take_payload() {
            payload @ Payload::H2 { .. } => {
                let body = Rc::new(RefCell::new(Body { payload, read: false }));
                let watched: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Watched(Rc::clone(&body)));
                request.set_payload(watched.into());
                Self(Some(body))
            }
            payload => {
                request.set_payload(payload);
                Self(None)
            }
        }
    }

    /// Ends when the client has given up.
    pub(super) async fn happens(self) {
        let Some(body) = self.0 else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if body.borrow_mut().is_given_up() {
                return;
            }
        }
    }
}

impl Body {
    fn is_given_up(&mut self) -> bool {
        self.read && matches!(self.payload.next().now_or_never(), Some(Some(Err(_))))
    }
}

/// The body as the handler reads it.
struct Watched(Rc<RefCell<Body>>);

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.borrow_mut();
        let next = body.payload.poll_next_unpin(context);
        body.read = matches!(next, Poll::Ready(None));
        next
    }
}
