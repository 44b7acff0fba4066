//! The listener.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use actix_web::body::BoxBody;
use actix_web::dev::{Server as Running, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::AppExt as _;

use crate::doorstep::Doorstep;
use crate::frame::Frame;
use crate::layers::Crowd;
use crate::options::Options;
use crate::services::Services;
use crate::state::State;
use crate::tls::{self, Certificate};
use crate::{fallback, grpc, layers, openapi, routes};

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("could not set up TLS")]
    Tls(#[source] tls::Error),
    /// The OpenAPI document cannot be written.
    #[error("could not write the OpenAPI document")]
    Document(#[source] serde_json::Error),
    /// Serving ended by itself.
    #[error("the server stopped by itself")]
    Stopped(#[source] io::Error),
}

/// A server that listens already, and answers once it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    certificate: Option<Certificate>,
    grpc: Option<grpc::Listener>,
    frame: Frame,
    state: State,
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on the address of `options`. Clients that connect now wait until [`Server::run`].
    pub fn bind(options: Options, services: Services) -> Result<Self, Error> {
        let certificate = options
            .tls
            .clone()
            .map(Certificate::open)
            .transpose()
            .map_err(Error::Tls)?;
        let document = openapi::document(options.public_url.as_deref());
        let document = serde_json::to_vec(&document).map_err(Error::Document)?;
        let (listener, address) = listen(options.listen).map_err(|source| Error::Listen {
            address: options.listen,
            source,
        })?;
        let (clock, random) = (Arc::clone(&services.clock), Arc::clone(&services.random));
        let calls = options.grpc.clone();
        let frame = Frame::new(options, clock, random, Bytes::from(document));
        let state = State::new(services);
        let grpc = match calls {
            None => None,
            Some(calls) => {
                let address = calls.listen;
                let listener = grpc::Listener::bind(calls, frame.clone(), state.clone())
                    .map_err(|source| Error::Listen { address, source })?;
                Some(match &certificate {
                    None => listener,
                    Some(certificate) => listener.secured(certificate).map_err(Error::Tls)?,
                })
            }
        };
        Ok(Self {
            listener,
            address,
            certificate,
            grpc,
            frame,
            state,
        })
    }

    /// The address that is listened on, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of gRPC, with the real port, if it is served.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(grpc::Listener::address)
    }

    /// `https` with a certificate, else `http`.
    pub fn scheme(&self) -> &'static str {
        if self.certificate.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Answers requests until `shutdown` is done; then sends clients away for a while, takes no new requests, lets the running ones end
    /// within their time limit, and returns.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let (certificate, frame) = (self.certificate.clone(), self.frame.clone());
        let patience = self.frame.options().shutdown_timeout;
        let stop = CancellationToken::new();
        // Calls end with this future, however it ends.
        let _stop = stop.clone().drop_guard();
        let calls = self.grpc.take();
        let calls = async {
            if let Some(calls) = calls {
                return calls.run(stop.clone(), patience).await;
            }
            stop.cancelled().await;
            Ok(())
        };
        let mut calls = std::pin::pin!(calls);
        let doorstep = Doorstep::of(&self.listener).map_err(Error::Stopped)?;
        let mut running = self.start()?;
        let handle = running.handle();
        let follow = follow(certificate);
        tokio::select! {
            ended = &mut running => return ended.map_err(Error::Stopped),
            ended = &mut calls => return ended.map_err(Error::Stopped),
            followed = follow => return followed.map_err(Error::Stopped),
            () = shutdown => {}
        }
        frame.leave();
        tokio::select! {
            ended = &mut running => return ended.map_err(Error::Stopped),
            ended = &mut calls => return ended.map_err(Error::Stopped),
            () = drain(&frame, doorstep) => {}
        }
        stop.cancel();
        let (ended, (), drained) = tokio::join!(running, handle.stop(true), calls);
        ended.and(drained).map_err(Error::Stopped)
    }

    fn start(self) -> Result<Running, Error> {
        let options = self.frame.options().clone();
        let threads = match options.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let (frame, state) = (self.frame, self.state);
        let http = HttpServer::new(move || layered(routed(state.clone()), frame.clone()))
            .workers(threads)
            .max_connections(options.max_connections.div_ceil(threads))
            .on_connect(|_, data| {
                data.insert(Crowd::default());
            })
            .client_request_timeout(options.head_timeout)
            .keep_alive(options.keep_alive)
            // Once the client is gone, its request is dropped, and with it the call to the runner.
            .h1_allow_half_closed(false)
            .shutdown_timeout(options.shutdown_timeout.as_secs())
            .disable_signals();
        let http = match &self.certificate {
            Some(certificate) => {
                let tls = certificate.listener().map_err(Error::Tls)?;
                http.listen_rustls_0_23(self.listener, tls)
            }
            // It looks at a connection's first line to tell the versions apart, and waits for it without a limit.
            None if options.h2c => http.listen_auto_h2c(self.listener),
            None => http.listen(self.listener),
        };
        let address = self.address;
        http.map(HttpServer::run)
            .map_err(|source| Error::Listen { address, source })
    }
}

/// Answers on for a while, and then until nobody stands before the listener any more.
async fn drain(frame: &Frame, doorstep: Doorstep) {
    tokio::time::sleep(frame.options().drain_delay).await;
    doorstep.clear().await;
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn follow(certificate: Option<Certificate>) -> io::Result<()> {
    match certificate {
        Some(certificate) => certificate.follow().await,
        None => std::future::pending().await,
    }
}

/// The endpoints.
fn routed(
    state: State,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(state)
        .into_utoipa_app()
        .configure(routes::configure)
        .into_app()
}

/// The layers around `endpoints`; the one that is wrapped last sees a request first.
pub(crate) fn layered<T>(
    endpoints: App<T>,
    frame: Frame,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<BoxBody>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
{
    endpoints
        .app_data(frame)
        .default_service(web::to(fallback::answer))
        .wrap(from_fn(layers::compress))
        .wrap(from_fn(layers::failures))
        .wrap(from_fn(layers::cors))
        .wrap(from_fn(layers::crowd))
        .wrap(from_fn(layers::observe))
        .wrap(from_fn(layers::farewell))
}
