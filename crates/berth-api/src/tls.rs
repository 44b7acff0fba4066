//! TLS on the listener, with a certificate that can change while the server runs.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::options::Tls;

/// How often the files are looked at. Certificates are renewed days before they end, so nothing is gained by haste.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or holds no PEM of the right kind.
    #[error("could not read `{file}`")]
    Read {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The certificate file holds none.
    #[error("`{0}` holds no certificate")]
    Empty(String),
    /// The key does not fit the certificate, or is of a kind that is not known.
    #[error("the private key cannot be used with the certificate")]
    Unusable(#[source] rustls::Error),
}

/// The certificate in use. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    files: Tls,
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl Certificate {
    /// Reads the files.
    pub(crate) fn open(files: Tls) -> Result<Self, Error> {
        let current = Arc::new(RwLock::new(Arc::new(read(&files)?)));
        Ok(Self { files, current })
    }

    /// The configuration of a listener that shows whatever certificate is current.
    pub(crate) fn listener(&self) -> Result<ServerConfig, Error> {
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map(|builder| {
                builder
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(self.clone()))
            })
            .map_err(Error::Unusable)
    }

    /// Reads the files again. When they cannot be used, the old certificate stays.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let fresh = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Reloads whenever a file changes or the process gets SIGHUP. Never ends.
    pub(crate) async fn follow(&self) -> io::Result<()> {
        let mut hang_up = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut seen = self.modified();
        loop {
            let asked = tokio::select! {
                _ = hang_up.recv() => true,
                _ = look.tick() => false,
            };
            let now = self.modified();
            if !asked && now == seen {
                continue;
            }
            seen = now;
            match self.reload() {
                Ok(()) => tracing::info!("certificate was read again"),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, error.causes = cause, "new certificate cannot be used, the old one stays");
                }
            }
        }
    }

    fn modified(&self) -> [Option<SystemTime>; 2] {
        [&self.files.certificate_file, &self.files.key_file].map(|file| {
            std::fs::metadata(file)
                .and_then(|metadata| metadata.modified())
                .ok()
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.current.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

fn read(files: &Tls) -> Result<CertifiedKey, Error> {
    let unreadable = |file: &std::path::Path| {
        let file = file.display().to_string();
        move |source| Error::Read { file, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(&files.certificate_file))?;
    if chain.is_empty() {
        return Err(Error::Empty(files.certificate_file.display().to_string()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key_file).map_err(unreadable(&files.key_file))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(Error::Unusable)
}
