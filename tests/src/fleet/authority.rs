//! An authority that signs for the nodes of a fleet.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// A folder with the certificate of an authority, and one that it has signed, which all nodes show.
pub(super) struct Authority(TempDir);

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let node = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let node = node.signed_by(&key, &issuer).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("ca.crt", issuer.pem()),
            ("tls.crt", node.pem()),
            ("tls.key", key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).expect("is written");
        }
        Self(folder)
    }

    /// The settings of a node.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.0.path().join(name).display().to_string();
        vec![
            ("BERTH_PEERS__TLS__AUTHORITY_FILE", file("ca.crt")),
            ("BERTH_PEERS__TLS__CERTIFICATE_FILE", file("tls.crt")),
            ("BERTH_PEERS__TLS__KEY_FILE", file("tls.key")),
        ]
    }
}
