//! Mutual TLS: one authority, and a certificate for both sides of a node. Files that change are read again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How often the files are looked at, when there is a connection to make. Certificates are renewed days before they end.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a node shows and demands. All files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that sign the certificates of nodes. It should sign nothing else: whom it signs is let in.
    pub authority_file: PathBuf,
    /// This node's certificate and those between it and the authority. It has to be good for servers and for clients.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// The name that certificates of workers are made out to; without it, the host in a worker's address.
    pub server_name: Option<String>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of the right kind.
    #[error("could not read `{file}`")]
    Read {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The file of the authority holds no certificate that can be one.
    #[error("the authority cannot be used")]
    Authority(#[source] VerifierBuilderError),
    /// The key does not fit the certificate, or a certificate is malformed.
    #[error("the certificate cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// Connects and accepts with what the files hold.
pub(super) struct Tls {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    both: Both,
    seen: [Option<SystemTime>; 3],
    looked_at: Instant,
}

#[derive(Clone)]
struct Both {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Tls {
    pub(super) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let state = State {
            seen: modified(&files),
            both: read(&files)?,
            looked_at: Instant::now(),
        };
        Ok(Self {
            files,
            state: Mutex::new(state),
        })
    }

    pub(super) async fn connect(
        &self,
        endpoint: &str,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let host = || endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
        let name = self.files.server_name.as_deref().unwrap_or_else(host);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = self.current().connector;
        connector.connect(name, stream).await
    }

    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        let acceptor = self.current().acceptor;
        acceptor.accept(stream).await
    }

    /// What is in force. Files that were changed and cannot be used leave the old ones in force.
    fn current(&self) -> Both {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked_at.elapsed() >= LOOK_EVERY {
            state.looked_at = Instant::now();
            let seen = modified(&self.files);
            if seen != state.seen {
                state.seen = seen;
                match read(&self.files) {
                    Ok(both) => {
                        state.both = both;
                        tracing::info!("the certificate for peers was read again");
                    }
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::error!(%error, error.causes = cause, "the new certificate for peers cannot be used, the old one stays");
                    }
                }
            }
        }
        state.both.clone()
    }
}

fn modified(files: &TlsFiles) -> [Option<SystemTime>; 3] {
    [&files.authority_file, &files.certificate_file, &files.key_file]
        .map(|file| std::fs::metadata(file).and_then(|about| about.modified()).ok())
}

fn read(files: &TlsFiles) -> Result<Both, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.authority_file)? {
        roots.add(authority).map_err(TlsError::Unusable)?;
    }
    let roots = Arc::new(roots);
    let chain = certificates(&files.certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(unreadable(&files.key_file))?;
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_root_certificates(Arc::clone(&roots))
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(TlsError::Unusable)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .map_err(TlsError::Authority)?;
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    Ok(Both {
        connector: TlsConnector::from(Arc::new(client)),
        acceptor: TlsAcceptor::from(Arc::new(server)),
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(unreadable(file))
}

fn unreadable(file: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    let file = file.display().to_string();
    move |source| TlsError::Read { file, source }
}
