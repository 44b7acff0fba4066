//! What the layers and extractors need to know of the server.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use berth_domain::clock::Clock;
use berth_domain::random::Random;
use bytes::Bytes;

use crate::errors::Failure;
use crate::extract::BodyMemory;
use crate::options::Options;

/// What the layers and extractors need to know of the server. Clones share it.
#[derive(Clone)]
pub(crate) struct Frame(Arc<Inner>);

struct Inner {
    options: Options,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    document: Bytes,
    body_memory: BodyMemory,
    leaving: AtomicBool,
}

impl fmt::Debug for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Frame")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl Frame {
    /// The frame of a server that describes itself by `document`.
    pub(crate) fn new(
        options: Options,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        document: Bytes,
    ) -> Self {
        Self(Arc::new(Inner {
            body_memory: BodyMemory::new(options.body_memory),
            options,
            clock,
            random,
            document,
            leaving: AtomicBool::new(false),
        }))
    }

    /// The frame of the server that `request` came to.
    pub(crate) fn of(request: &HttpRequest) -> Result<&Self, Failure> {
        request
            .app_data::<Self>()
            .ok_or_else(|| Failure::internal("the server was built without its frame"))
    }

    /// Sends clients away from now on.
    pub(crate) fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether clients are sent away: the server is about to stop.
    pub(crate) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// How to serve.
    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.0.random
    }

    /// The memory for bodies.
    pub(crate) fn body_memory(&self) -> &BodyMemory {
        &self.0.body_memory
    }

    /// The OpenAPI document, as it is served.
    pub(crate) fn document(&self) -> Bytes {
        self.0.document.clone()
    }
}

impl FromRequest for Frame {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request).cloned())
    }
}
