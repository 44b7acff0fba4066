//! Certificates for nodes of this machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// Where they go.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder, which is made: `ca.crt`, `tls.crt`, `tls.key`.
    folder: PathBuf,
}

/// Makes an authority and a certificate for 127.0.0.1 that it has signed.
pub(crate) fn make(options: &Options) -> Result<()> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let node = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    fs::create_dir_all(&options.folder).context("making the folder")?;
    for (name, text) in [
        ("ca.crt", issuer.pem()),
        ("tls.crt", node.pem()),
        ("tls.key", key.serialize_pem()),
    ] {
        fs::write(options.folder.join(name), text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}
