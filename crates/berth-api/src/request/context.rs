//! The context of one request.

use std::cell::RefCell;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use berth_domain::access::Caller;
use berth_domain::id::{ApiKeyId, OrganizationId, ProjectId, RequestId, UserId};

use crate::errors::{Failure, Form};
use crate::request::Trace;

/// What travels with a request. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    client_address: IpAddr,
    trace: Trace,
    wait: Option<Duration>,
    form: Form,
    started: Instant,
    facts: RefCell<Facts>,
}

/// What is learned of a request on its way, for the log line and the metrics.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    /// The organization that the caller acts in.
    pub(crate) organization: Option<OrganizationId>,
    /// The project that the caller acts in.
    pub(crate) project: Option<ProjectId>,
    /// The key that calls.
    pub(crate) key: Option<ApiKeyId>,
    /// The person who calls.
    pub(crate) user: Option<UserId>,
    /// The deployment that is called.
    pub(crate) model: Option<String>,
    /// Web origins that the caller's project lists.
    pub(crate) origins: Vec<String>,
}

impl Facts {
    /// Notes who calls.
    pub(crate) fn called_by(&mut self, caller: &Caller) {
        match caller {
            Caller::Key(key) => {
                self.organization = Some(key.organization);
                self.project = Some(key.project);
                self.key = Some(key.key);
                self.origins.clone_from(&key.origins);
            }
            Caller::Person(person) => self.user = Some(person.user),
        }
    }
}

impl RequestContext {
    /// The context of a request that arrives now.
    pub(crate) fn new(
        id: RequestId,
        client_address: IpAddr,
        trace: Trace,
        wait: Option<Duration>,
        form: Form,
    ) -> Self {
        Self(Rc::new(Inner {
            id,
            client_address,
            trace,
            wait,
            form,
            started: Instant::now(),
            facts: RefCell::default(),
        }))
    }

    /// The id, as `x-request-id` shows it.
    pub(crate) fn id(&self) -> RequestId {
        self.0.id
    }

    /// Where the request comes from.
    pub(crate) fn client_address(&self) -> IpAddr {
        self.0.client_address
    }

    /// The trace that it is in.
    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// What the next one is told of the trace, if there is one.
    pub(crate) fn traceparent(&self) -> Option<&str> {
        self.0.trace.parent()
    }

    /// How long the caller would rather wait for a model to be loaded than be told to come back, if it says so.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.0.wait
    }

    /// The form in which the caller expects errors.
    pub(crate) fn form(&self) -> Form {
        self.0.form
    }

    /// When the request arrived.
    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }

    /// Notes something for the log line.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Facts)) {
        note(&mut self.0.facts.borrow_mut());
    }

    /// What was noted.
    pub(crate) fn facts(&self) -> Facts {
        self.0.facts.borrow().clone()
    }

    /// The context of `request`.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, Failure> {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Failure::internal("a request came past the outermost layer"))
    }
}

impl FromRequest for RequestContext {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}
