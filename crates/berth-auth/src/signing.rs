//! The keys that sign access tokens: Ed25519, by `ring`, which the TLS library already brings.
//!
//! One key signs; others, on their way in or out, are only published and accepted. To rotate: add the new key as a
//! further one, wait until every node and every reader of the key set knows it, make it the one that signs, and remove
//! the old one when the last token that it signed has expired.

use std::sync::Once;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use berth_domain::random::Random;
use berth_domain::secret::Secret;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A PKCS#8 document (RFC 8410) up to the 32 bytes of an Ed25519 private key.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A signing key that cannot be used. The operator who configures it can act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a PEM document with a private key.
    #[error("the signing key is not a PEM document of the kind `PRIVATE KEY` (PKCS#8)")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// The document holds no Ed25519 key.
    #[error("the signing key is not an Ed25519 private key: {0}")]
    Key(ring::error::KeyRejected),
}

/// An Ed25519 key pair with the id under which its public half is published.
pub struct SigningKey {
    id: String,
    public: [u8; 32],
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a PEM document in PKCS#8 form, as [`generate`] and `openssl genpkey -algorithm ed25519` write it.
    pub fn from_pem(pem: &Secret) -> Result<Self, Error> {
        install();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(Error::Pem)?;
        let der = der.secret_pkcs8_der();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(Error::Key)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self {
            id: thumbprint(&public),
            public,
            encoding: EncodingKey::from_ed_der(der),
            decoding: DecodingKey::from_ed_der(&public),
        })
    }

    /// The key's id: the thumbprint of its public half (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }
}

/// A fresh key as a PEM document: for `berth dev` and for setting up an installation.
pub fn generate(random: &dyn Random) -> Secret {
    let mut der = Zeroizing::new([0; PKCS8_PREFIX.len() + 32]);
    der[..PKCS8_PREFIX.len()].copy_from_slice(&PKCS8_PREFIX);
    random.fill(&mut der[PKCS8_PREFIX.len()..]);
    let body = BASE64_STANDARD.encode(der.as_slice());
    Secret::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    ))
}

/// The keys in use.
#[derive(Debug)]
pub struct SigningKeys {
    /// The one that signs first.
    keys: Vec<SigningKey>,
}

impl SigningKeys {
    /// `current` signs; `further` ones are published and accepted. A key that is named twice counts once.
    pub fn new(current: SigningKey, further: Vec<SigningKey>) -> Self {
        let mut keys: Vec<SigningKey> = vec![current];
        for key in further {
            if keys.iter().all(|known| known.id != key.id) {
                keys.push(key);
            }
        }
        Self { keys }
    }

    /// The key that signs.
    pub(crate) fn current(&self) -> &SigningKey {
        &self.keys[0]
    }

    /// What checks signatures of the key `id`.
    pub(crate) fn verifier(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.iter().find(|key| key.id == id).map(|key| &key.decoding)
    }

    /// The public halves, to be served at `/.well-known/jwks.json`.
    pub fn key_set(&self) -> KeySet {
        KeySet {
            keys: self
                .keys
                .iter()
                .map(|key| PublicKey::new(&key.id, &key.public))
                .collect(),
        }
    }
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Clone, Serialize)]
pub struct KeySet {
    /// The keys, the one that signs first.
    pub keys: Vec<PublicKey>,
}

/// The public half of a signing key as a JSON Web Key (RFC 8037).
#[derive(Debug, Clone, Serialize)]
pub struct PublicKey {
    /// The key type, `OKP`.
    pub kty: &'static str,
    /// The curve, `Ed25519`.
    pub crv: &'static str,
    /// The public key, base64url.
    pub x: String,
    /// The key's id, as the header of a token names it.
    pub kid: String,
    /// The algorithm, `EdDSA`.
    pub alg: &'static str,
    /// The use, `sig`.
    #[serde(rename = "use")]
    pub usage: &'static str,
}

impl PublicKey {
    fn new(id: &str, public: &[u8; 32]) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            x: BASE64_URL_SAFE_NO_PAD.encode(public),
            kid: id.to_owned(),
            alg: "EdDSA",
            usage: "sig",
        }
    }
}

/// The thumbprint of a public key (RFC 7638; the members required for `OKP` are those of RFC 8037).
fn thumbprint(public: &[u8; 32]) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(public);
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
}

/// Makes `jsonwebtoken` use `ring`. Of its algorithms only EdDSA is provided: a token with any other is refused.
fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match (algorithm, key.family()) {
            (Algorithm::EdDSA, AlgorithmFamily::Ed) => Ok(Box::new(RingSigner::new(key)?)),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| match (algorithm, key.family()) {
            (Algorithm::EdDSA, AlgorithmFamily::Ed) => Ok(Box::new(RingVerifier::new(key)?)),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        // Berth writes its key set itself and reads nobody else's.
        key_utils: KeyUtils::new_unimplemented(),
    };
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Someone else's provider, installed earlier, knows EdDSA too and serves as well.
        let _ = PROVIDER.install_default();
    });
}

struct RingSigner(Ed25519KeyPair);

impl RingSigner {
    fn new(key: &EncodingKey) -> Result<Self, JwtError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes())
            .map(Self)
            .map_err(|_| ErrorKind::InvalidEddsaKey.into())
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct RingVerifier(UnparsedPublicKey<Vec<u8>>);

impl RingVerifier {
    fn new(key: &DecodingKey) -> Result<Self, JwtError> {
        Ok(Self(UnparsedPublicKey::new(
            &ED25519,
            key.try_get_as_bytes()?.to_vec(),
        )))
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0
            .verify(message, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::random::SeededRandom;

    use super::*;

    /// The private key of RFC 8037, appendix A.1, in PKCS#8 form.
    fn rfc_key() -> SigningKey {
        let mut der = PKCS8_PREFIX.to_vec();
        der.extend(
            hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").expect("hex"),
        );
        let body = BASE64_STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        SigningKey::from_pem(&Secret::new(pem)).expect("a key")
    }

    #[test]
    fn public_half_and_thumbprint_are_those_of_the_standard() {
        let key = rfc_key();
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let set = SigningKeys::new(key, vec![]).key_set();
        assert_eq!(
            serde_json::to_value(&set).expect("serializes"),
            serde_json::json!({"keys": [{
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "alg": "EdDSA",
                "use": "sig",
            }]})
        );
    }

    #[test]
    fn signature_is_that_of_the_standard() {
        // RFC 8037, appendix A.4.
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = jsonwebtoken::crypto::sign(message, rfc_key().encoding(), Algorithm::EdDSA);
        assert_eq!(
            signature.expect("signs"),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn generated_keys_are_read_back_and_differ() {
        let random = SeededRandom::new(1);
        let (one, other) = (generate(&random), generate(&random));
        let one = SigningKey::from_pem(&one).expect("a key");
        let other = SigningKey::from_pem(&other).expect("a key");
        assert_ne!(one.id(), other.id());
    }

    #[test]
    fn key_named_twice_is_published_once() {
        let keys = SigningKeys::new(rfc_key(), vec![rfc_key()]);
        assert_eq!(keys.key_set().keys.len(), 1);
    }

    #[test]
    fn other_documents_are_refused() {
        for text in [
            "",
            "not a key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(SigningKey::from_pem(&Secret::new(text)).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_output_hides_the_private_half() {
        let text = format!("{:?}", rfc_key());
        assert_eq!(
            text,
            r#"SigningKey { id: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", .. }"#
        );
    }
}
