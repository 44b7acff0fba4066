//! What Postgres stores of a password (RFC 5802 and 7677, as `pg_authid` writes it), made on this side of the line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use berth_domain::random::Random;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// PostgreSQL's own count. More would slow every new connection, and the passwords of machines are long.
const ITERATIONS: u32 = 4096;

/// The verifier of `password` under a fresh salt.
pub(crate) fn verifier(password: &str, random: &dyn Random) -> String {
    let mut salt = [0; 16];
    random.fill(&mut salt);
    with_salt(password.as_bytes(), &salt)
}

fn with_salt(password: &[u8], salt: &[u8]) -> String {
    let salted = salted(password, salt);
    let stored = Sha256::digest(mac(&salted, &[b"Client Key"]));
    let server = mac(&salted, &[b"Server Key"]);
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        BASE64.encode(salt),
        BASE64.encode(stored),
        BASE64.encode(server)
    )
}

/// One block of PBKDF2 with HMAC-SHA-256.
fn salted(password: &[u8], salt: &[u8]) -> [u8; 32] {
    let mut round = mac(password, &[salt, &1_u32.to_be_bytes()]);
    let mut sum = round;
    for _ in 1..ITERATIONS {
        round = mac(password, &[&round]);
        for (byte, more) in sum.iter_mut().zip(round) {
            *byte ^= more;
        }
    }
    sum
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifier_of_the_published_example_is_computed() {
        // RFC 7677, section 3: user `user`, password `pencil`, 4096 iterations. The signature of the server over the
        // exchange shows that the keys are right.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let exchange = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let verifier = with_salt(b"pencil", &salt);
        let server = verifier.rsplit(':').next().expect("a server key");
        let signature = mac(&BASE64.decode(server).expect("base64"), &[exchange.as_bytes()]);
        assert_eq!(
            BASE64.encode(signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }
}
