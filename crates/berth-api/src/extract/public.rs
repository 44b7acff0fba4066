//! Endpoints that everyone may call.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::errors::Failure;
use crate::frame::Frame;
use crate::readiness::Report;
use crate::services::Services;
use crate::state::State;

/// The services, for an endpoint that checks nothing: it must be meant for everyone.
pub(crate) struct Public {
    state: State,
    frame: Frame,
}

impl Public {
    /// Whether the server takes requests, and which of its parts can be reached: a moment ago.
    pub(crate) async fn readiness(&self) -> Report {
        let report = self.state.readiness().await;
        if self.frame.is_leaving() {
            report.draining()
        } else {
            report
        }
    }
}

impl Deref for Public {
    type Target = Services;

    fn deref(&self) -> &Services {
        self.state.services()
    }
}

impl FromRequest for Public {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let public = || {
            Ok(Self {
                state: State::of(request)?.clone(),
                frame: Frame::of(request)?.clone(),
            })
        };
        ready(public())
    }
}
