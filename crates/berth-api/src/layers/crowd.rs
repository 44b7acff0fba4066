//! The requests of one connection that are under way.
//!
//! Over HTTP/2 a connection carries as many requests at a time as its client likes: the server below sets no bound, and has
//! no setting for one. So they are counted here, and those beyond the bound are refused. Otherwise the bound on connections
//! would bound nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use crate::errors::{Code, Failure};
use crate::frame::Frame;

/// The requests of one connection that are under way. Belongs to the connection; clones share the count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crowd(Arc<AtomicUsize>);

impl Crowd {
    /// Counts one more, unless there are `most`.
    fn enter(&self, most: usize) -> Option<Place> {
        let place = Place(self.clone());
        // The place takes itself back when it is one too many.
        (self.0.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

/// One request among them.
struct Place(Crowd);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs the request inside; see the module.
pub(crate) async fn crowd(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let most = Frame::of(request.request())?.options().requests_per_connection;
    let _place = match request.request().conn_data::<Crowd>() {
        Some(crowd) => Some(crowd.enter(most).ok_or_else(|| crowded(most))?),
        // A request that did not come over a connection, as in tests of the layers.
        None => None,
    };
    next.call(request).await
}

fn crowded(most: usize) -> Failure {
    Failure::new(
        Code::Overloaded,
        format!("This connection has {most} requests under way, and no connection may have more."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_free_again_when_its_request_ends() {
        let crowd = Crowd::default();
        let (first, second) = (crowd.enter(2), crowd.enter(2));
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter(2).is_none());
        drop(first);
        assert!(crowd.enter(2).is_some());
    }
}
