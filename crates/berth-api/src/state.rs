//! How the services travel with the requests.

use std::sync::Arc;

use actix_web::HttpRequest;

use crate::errors::Failure;
use crate::readiness::{Readiness, Report};
use crate::services::Services;

/// The services, for extractors alone: a handler gets them from an extractor that has checked the caller, and there is
/// no other way.
#[derive(Debug, Clone)]
pub(crate) struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: Services,
    readiness: Readiness,
}

impl State {
    /// The state of a server with these services.
    pub(crate) fn new(services: Services) -> Self {
        Self(Arc::new(Inner {
            services,
            readiness: Readiness::default(),
        }))
    }

    /// The state of the server that `request` came to.
    pub(crate) fn of(request: &HttpRequest) -> Result<&Self, Failure> {
        request
            .app_data::<Self>()
            .ok_or_else(|| Failure::internal("the server was built without its services"))
    }

    /// What the endpoints call.
    pub(crate) fn services(&self) -> &Services {
        &self.0.services
    }

    /// Whether the server takes requests, and which of its parts can be reached.
    pub(crate) async fn readiness(&self) -> Report {
        self.0.readiness.report(&self.0.services).await
    }
}
