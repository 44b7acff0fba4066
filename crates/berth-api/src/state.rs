//! How the services travel with the requests.

use std::sync::Arc;

use actix_web::HttpRequest;

use crate::errors::Failure;
use crate::services::Services;

/// The services, for extractors alone: a handler gets them from an extractor that has checked the caller, and there is
/// no other way.
#[derive(Debug, Clone)]
pub(crate) struct State(Arc<Services>);

impl State {
    /// The state of a server with these services.
    pub(crate) fn new(services: Services) -> Self {
        Self(Arc::new(services))
    }

    /// The state of the server that `request` came to.
    pub(crate) fn of(request: &HttpRequest) -> Result<&Self, Failure> {
        request
            .app_data::<Self>()
            .ok_or_else(|| Failure::internal("the server was built without its services"))
    }

    /// What the endpoints call.
    pub(crate) fn services(&self) -> &Services {
        &self.0
    }
}
