//! Clients that give up over HTTP/2.
//!
//! Over HTTP/1 a client that gives up closes its connection, and the connection drops what it was answering. Over HTTP/2
//! each request is a task of its own, which nobody drops. So the stream of its body is asked now and then, once the handler
//! has let go of it: it knows whether the client has reset the stream or closed the connection.

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
pub(super) struct Departure(Option<Rc<RefCell<Payload>>>);

impl Departure {
    /// Watches the client of `request`.
    pub(super) fn watch(request: &mut ServiceRequest) -> Self {
        match request.take_payload() {
            payload @ Payload::H2 { .. } => {
                let body = Rc::new(RefCell::new(payload));
                let shared: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Shared(Rc::clone(&body)));
                request.set_payload(shared.into());
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
            // As long as the handler has it, the handler is told.
            let let_go = Rc::strong_count(&body) == 1;
            if let_go && matches!(body.borrow_mut().next().now_or_never(), Some(Some(Err(_)))) {
                return;
            }
        }
    }
}

/// The body as the handler reads it.
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next_unpin(context)
    }
}
