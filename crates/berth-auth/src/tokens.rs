//! Access tokens: short JSON Web Tokens that every node can check without asking, and refresh tokens, which cannot be
//! checked without asking.

use std::collections::HashSet;
use std::sync::Arc;

use berth_domain::clock::{Clock, Timestamp};
use berth_domain::digest;
use berth_domain::id::{SessionId, UserId};
use berth_domain::random::Random;
use berth_domain::secret::Secret;
use chrono::{DateTime, TimeDelta};
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::base62;
use crate::signing::SigningKeys;

/// What the header of an access token says it is (RFC 9068).
const TYPE: &str = "at+jwt";

/// How far ahead the clock of another node may be.
const SKEW: TimeDelta = TimeDelta::seconds(30);

/// What refresh tokens begin with, so that a leaked one is recognized.
const REFRESH_PREFIX: &str = "bthr_";

const REFRESH_LENGTH: usize = 43;

/// How tokens are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who issues the tokens: the address of the installation.
    pub issuer: String,
    /// Whom they are for.
    pub audience: String,
    /// How long an access token holds.
    pub lifetime: TimeDelta,
}

impl Options {
    /// Tokens of the installation at `issuer`, for itself, that hold for ten minutes.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: "berth".to_owned(),
            lifetime: TimeDelta::minutes(10),
        }
    }
}

/// An access token that is refused. Whoever sent it can act: refresh the session, or sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not one of this installation's tokens, or was altered.
    #[error("the access token is not valid here")]
    Invalid,
    /// Its time is over.
    #[error("the access token has expired")]
    Expired,
}

/// A token could not be signed: a fault of the installation.
#[derive(Debug, thiserror::Error)]
#[error("could not sign an access token")]
pub struct SignError(#[source] jsonwebtoken::errors::Error);

/// An access token and when it ends.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub text: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a valid access token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The person.
    pub user: UserId,
    /// The session in which they signed in.
    pub session: SessionId,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    exp: i64,
}

/// Makes and checks access tokens.
pub struct AccessTokens {
    options: Options,
    keys: SigningKeys,
    clock: Arc<dyn Clock>,
    validation: Validation,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AccessTokens")
            .field("options", &self.options)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl AccessTokens {
    /// Tokens signed with `keys`.
    pub fn new(options: Options, keys: SigningKeys, clock: Arc<dyn Clock>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims = HashSet::from(["iss", "aud", "sub", "exp"].map(str::to_owned));
        validation.set_issuer(&[&options.issuer]);
        validation.set_audience(&[&options.audience]);
        // Times are compared with the clock that was passed in.
        validation.validate_exp = false;
        Self {
            options,
            keys,
            clock,
            validation,
        }
    }

    /// The keys.
    pub fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// A fresh token for `user` in `session`, which ends with the session at the latest.
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        session_ends: Timestamp,
    ) -> Result<AccessToken, SignError> {
        let now = self.clock.now();
        let expires_at = (now + self.options.lifetime).min(session_ends);
        let key = self.keys.current();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id().to_owned());
        let claims = Claims {
            iss: self.options.issuer.clone(),
            aud: self.options.audience.clone(),
            sub: user,
            sid: session,
            iat: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        let text = jsonwebtoken::encode(&header, &claims, key.encoding()).map_err(SignError)?;
        Ok(AccessToken {
            text: Secret::new(text),
            expires_at: DateTime::from_timestamp(claims.exp, 0).unwrap_or(expires_at),
        })
    }

    /// What `text` says, if it is a token of this installation that holds now. Whether its session still lives must be
    /// asked separately.
    pub fn verify(&self, text: &str) -> Result<Claimed, Error> {
        let header = jsonwebtoken::decode_header(text).map_err(|_| Error::Invalid)?;
        // `crit` names extensions that the reader must know, and this one knows none.
        if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(Error::Invalid);
        }
        let key = header
            .kid
            .as_deref()
            .and_then(|id| self.keys.verifier(id))
            .ok_or(Error::Invalid)?;
        let claims = jsonwebtoken::decode::<Claims>(text, key, &self.validation)
            .map_err(|_| Error::Invalid)?
            .claims;
        let now = self.clock.now().timestamp();
        if claims.exp <= now {
            return Err(Error::Expired);
        }
        if claims.iat > now + SKEW.num_seconds() || claims.exp <= claims.iat {
            return Err(Error::Invalid);
        }
        Ok(Claimed {
            user: claims.sub,
            session: claims.sid,
        })
    }
}

/// A refresh token that was just made: its text, to be given to the client, and what is stored.
#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub(crate) text: Secret,
    pub(crate) hash: [u8; 32],
}

impl RefreshToken {
    pub(crate) fn new(random: &dyn Random) -> Self {
        let text = format!("{REFRESH_PREFIX}{}", base62::random(random, REFRESH_LENGTH));
        Self {
            hash: *digest::Sha256::of(text.as_bytes()).as_bytes(),
            text: Secret::new(text),
        }
    }

    /// The hash by which the token `text` is found; `None` when it has not the form of one.
    pub(crate) fn hash_of(text: &str) -> Option<[u8; 32]> {
        let digits = text.strip_prefix(REFRESH_PREFIX)?;
        (digits.len() == REFRESH_LENGTH && base62::is_base62(digits.as_bytes()))
            .then(|| *digest::Sha256::of(text.as_bytes()).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use berth_domain::clock::ManualClock;
    use berth_domain::random::SeededRandom;
    use serde_json::{Value, json};

    use super::*;
    use crate::signing::{self, SigningKey};

    struct House {
        tokens: AccessTokens,
        clock: ManualClock,
        user: UserId,
        session: SessionId,
    }

    impl House {
        fn issue(&self) -> AccessToken {
            let ends = self.clock.now() + TimeDelta::days(30);
            self.tokens.issue(self.user, self.session, ends).expect("signs")
        }

        /// A token whose header and claims are those of a good one, altered and signed with the right key.
        fn altered(&self, header: &[(&str, Value)], claims: &[(&str, Value)]) -> String {
            let good = self.issue();
            let mut parts = good.text.expose().split('.').map(|part| {
                serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default())
            });
            let mut change = |changes: &[(&str, Value)]| {
                let mut part = parts.next().expect("a part").expect("JSON");
                for (name, value) in changes {
                    if value.is_null() {
                        part.as_object_mut().expect("an object").remove(*name);
                    } else {
                        part[*name] = value.clone();
                    }
                }
                BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
            };
            let message = format!("{}.{}", change(header), change(claims));
            let key = self.tokens.keys.current().encoding();
            let signature =
                jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::EdDSA).expect("signs");
            format!("{message}.{signature}")
        }
    }

    fn key(seed: u64) -> SigningKey {
        SigningKey::from_pem(&signing::generate(&SeededRandom::new(seed))).expect("a key")
    }

    fn house(keys: SigningKeys) -> House {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let random = SeededRandom::new(7);
        House {
            tokens: AccessTokens::new(
                Options::new("https://berth.example"),
                keys,
                Arc::new(clock.clone()),
            ),
            user: UserId::new(&clock, &random),
            session: SessionId::new(&clock, &random),
            clock,
        }
    }

    #[test]
    fn token_holds_for_its_lifetime_and_no_longer() {
        let house = house(SigningKeys::new(key(1), vec![]));
        let token = house.issue();
        let claimed = Claimed {
            user: house.user,
            session: house.session,
        };
        assert_eq!(house.tokens.verify(token.text.expose()), Ok(claimed));
        house.clock.advance(TimeDelta::seconds(599));
        assert_eq!(house.tokens.verify(token.text.expose()), Ok(claimed));
        house.clock.advance(TimeDelta::seconds(1));
        assert_eq!(house.tokens.verify(token.text.expose()), Err(Error::Expired));
        assert_eq!(token.expires_at, house.clock.now());
    }

    #[test]
    fn token_ends_with_its_session() {
        let house = house(SigningKeys::new(key(1), vec![]));
        let ends = house.clock.now() + TimeDelta::minutes(3);
        let token = house
            .tokens
            .issue(house.user, house.session, ends)
            .expect("signs");
        assert_eq!(token.expires_at, ends);
    }

    #[test]
    fn token_of_a_key_on_its_way_out_is_accepted_until_it_is_gone() {
        let old = house(SigningKeys::new(key(1), vec![]));
        let token = old.issue();
        let rotated = house(SigningKeys::new(key(2), vec![key(1)]));
        assert!(rotated.tokens.verify(token.text.expose()).is_ok());
        let gone = house(SigningKeys::new(key(2), vec![]));
        assert_eq!(gone.tokens.verify(token.text.expose()), Err(Error::Invalid));
    }

    #[test]
    fn altered_claims_and_headers_are_refused() {
        let house = house(SigningKeys::new(key(1), vec![]));
        assert!(
            house.tokens.verify(&house.altered(&[], &[])).is_ok(),
            "the helper itself signs rightly"
        );
        let later = house.clock.now().timestamp() + 3600;
        for (header, claims) in [
            (vec![("typ", json!("JWT"))], vec![]),
            (vec![("typ", Value::Null)], vec![]),
            (vec![("alg", json!("none"))], vec![]),
            (vec![("alg", json!("HS256"))], vec![]),
            (vec![("kid", Value::Null)], vec![]),
            (vec![("kid", json!("other"))], vec![]),
            (vec![("crit", json!(["exp"]))], vec![]),
            (vec![], vec![("iss", json!("https://other.example"))]),
            (vec![], vec![("iss", Value::Null)]),
            (vec![], vec![("aud", json!("other"))]),
            (vec![], vec![("aud", json!(["berth", "other"]))]),
            (vec![], vec![("aud", Value::Null)]),
            (vec![], vec![("sub", json!("org_01jd0000000000000000000000"))]),
            (vec![], vec![("sub", Value::Null)]),
            (vec![], vec![("sid", Value::Null)]),
            (vec![], vec![("exp", Value::Null)]),
            (vec![], vec![("exp", json!("tomorrow"))]),
            (vec![], vec![("exp", json!(1e300))]),
            (vec![], vec![("iat", Value::Null)]),
            (vec![], vec![("iat", json!(later)), ("exp", json!(later + 600))]),
        ] {
            let token = house.altered(&header, &claims);
            assert_eq!(
                house.tokens.verify(&token),
                Err(Error::Invalid),
                "{header:?} {claims:?}"
            );
        }
    }

    #[test]
    fn foreign_signature_and_rubbish_are_refused() {
        let house = house(SigningKeys::new(key(1), vec![]));
        let good = house.issue().text.expose().to_owned();
        let (message, _) = good.rsplit_once('.').expect("three parts");
        let foreign = jsonwebtoken::crypto::sign(message.as_bytes(), key(9).encoding(), Algorithm::EdDSA);
        let foreign = format!("{message}.{}", foreign.expect("signs"));
        for text in [
            "",
            "a",
            "a.b.c",
            "..",
            message,
            &foreign,
            &good[..good.len() - 2],
            "bth_live_x_y",
            "ä.ö.ü",
        ] {
            assert_eq!(house.tokens.verify(text), Err(Error::Invalid), "{text:?}");
        }
    }

    #[test]
    fn refresh_token_is_found_by_its_hash_and_other_texts_are_no_tokens() {
        let token = RefreshToken::new(&SeededRandom::new(1));
        assert_eq!(RefreshToken::hash_of(token.text.expose()), Some(token.hash));
        for text in [
            "",
            "bthr_",
            "bthr_short",
            &token.text.expose()[5..],
            &format!("{}0", token.text.expose()),
        ] {
            assert_eq!(RefreshToken::hash_of(text), None, "{text:?}");
        }
    }
}
