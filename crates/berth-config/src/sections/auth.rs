//! Keys, passwords and sessions.

use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Process, Span};

/// Shortest pepper in characters: less cannot hold 256 random bits even in base64.
const SHORTEST_PEPPER: usize = 32;

/// Keys, passwords and sessions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Who may make an account: `closed` (operators make them), `invite` (whoever was invited), `open` (everyone).
    pub sign_up: SignUp,
    /// How long an access token is valid. A signed-in person who loses a role keeps it so long at most; short times
    /// make clients refresh more often.
    pub access_token_lifetime: Span,
    /// How long a session lives without being used. Each use begins it anew.
    pub refresh_token_lifetime: Span,
    /// How long an invitation can be accepted.
    pub invitation_lifetime: Span,
    /// How long a link to set a new password works.
    pub password_reset_lifetime: Span,
    /// Passwords hashed at the same time in one process. Each takes a core for some 20 ms and 19 MB of memory.
    pub password_threads: u16,
    /// Keys whose record is kept in memory by one process; each costs about 1 kB.
    pub key_cache_entries: u64,
    /// How often sign-in may fail before it has to wait.
    pub throttle: Throttle,
    /// Peppers: random texts that go into the stored hash of every API key, so that a stolen database alone opens
    /// nothing. The first one is used for new keys, the others still verify old ones. Make one with
    /// `openssl rand -base64 32`.
    pub peppers: Vec<Pepper>,
    /// Keys that sign access tokens (Ed25519). The first one signs; all are published at `/.well-known/jwks.json`, so a
    /// new one can be added at the end, moved to the front, and the old one removed. Make one with
    /// `openssl genpkey -algorithm ed25519`.
    pub signing_keys: Vec<SigningKey>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            sign_up: SignUp::Closed,
            access_token_lifetime: Span::minutes(10),
            refresh_token_lifetime: Span::days(30),
            invitation_lifetime: Span::days(7),
            password_reset_lifetime: Span::hours(1),
            password_threads: 2,
            key_cache_entries: 100_000,
            throttle: Throttle::default(),
            peppers: Vec::new(),
            signing_keys: Vec::new(),
        }
    }
}

impl Section for Auth {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !matches!(
            check.process,
            Process::Api | Process::Tasks | Process::Dev | Process::Admin
        ) {
            return;
        }
        for (field, span) in [
            ("access_token_lifetime", self.access_token_lifetime),
            ("refresh_token_lifetime", self.refresh_token_lifetime),
            ("invitation_lifetime", self.invitation_lifetime),
            ("password_reset_lifetime", self.password_reset_lifetime),
        ] {
            check.some_time(field, span);
        }
        check.at_least_one("password_threads", self.password_threads);
        check.at_least_one("key_cache_entries", self.key_cache_entries);
        self.throttle.settle(&mut check.inner("throttle"));
        check.some_of("peppers", self.peppers.len());
        for (index, pepper) in self.peppers.iter_mut().enumerate() {
            pepper.settle(&mut check.inner(&format!("peppers[{index}]")));
        }
        check.unique("peppers", self.peppers.iter().map(|pepper| pepper.id.as_str()));
        check.some_of("signing_keys", self.signing_keys.len());
        for (index, key) in self.signing_keys.iter_mut().enumerate() {
            key.settle(&mut check.inner(&format!("signing_keys[{index}]")));
        }
        check.unique(
            "signing_keys",
            self.signing_keys.iter().map(|key| key.id.as_str()),
        );
    }
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// Only operators make accounts.
    Closed,
    /// Whoever was invited to an organization.
    Invite,
    /// Everyone.
    Open,
}

/// How often sign-in may fail before it has to wait.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// Failures on one account within `window`. Low numbers slow down guessing, but let others lock a person out.
    pub failures_per_account: u32,
    /// Failures from one address within `window`. People behind one proxy share an address.
    pub failures_per_address: u32,
    /// The time over which failures count.
    pub window: Span,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            failures_per_account: 10,
            failures_per_address: 100,
            window: Span::minutes(15),
        }
    }
}

impl Throttle {
    fn settle(&self, check: &mut Check<'_>) {
        check.at_least_one("failures_per_account", self.failures_per_account);
        check.at_least_one("failures_per_address", self.failures_per_address);
        check.some_time("window", self.window);
    }
}

/// A pepper of API keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pepper {
    /// Name that is stored beside each hash. Never give it to another pepper.
    #[schemars(extend("examples" = ["2026-01"]))]
    pub id: String,
    /// The pepper: at least 32 characters of randomness.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "…")]
    pub secret: Option<Secret>,
    /// File that holds `secret`.
    #[schemars(example = "/run/secrets/berth/pepper-2026-01")]
    pub secret_file: Option<PathBuf>,
}

impl Pepper {
    fn settle(&mut self, check: &mut Check<'_>) {
        check.plain_name("id", &self.id);
        check.secret("secret", &mut self.secret, self.secret_file.as_deref());
        match &self.secret {
            None if self.secret_file.is_none() => {
                check.problem("secret", "is missing: set it or `secret_file`");
            }
            Some(secret) if secret.expose().len() < SHORTEST_PEPPER => {
                check.problem("secret", "is too short: a pepper has at least 32 characters");
            }
            _ => {}
        }
    }
}

/// A key that signs access tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SigningKey {
    /// Name that stands in each token (`kid`).
    #[schemars(extend("examples" = ["2026-01"]))]
    pub id: String,
    /// The private key: Ed25519 as PKCS #8 in PEM.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "…")]
    pub key: Option<Secret>,
    /// File that holds `key`.
    #[schemars(example = "/run/secrets/berth/signing-2026-01.pem")]
    pub key_file: Option<PathBuf>,
}

impl SigningKey {
    fn settle(&mut self, check: &mut Check<'_>) {
        check.plain_name("id", &self.id);
        check.secret("key", &mut self.key, self.key_file.as_deref());
        match &self.key {
            None if self.key_file.is_none() => check.problem("key", "is missing: set it or `key_file`"),
            Some(key) if !key.expose().contains("-----BEGIN PRIVATE KEY-----") => {
                check.problem(
                    "key",
                    "is no private key in PEM: it begins with `-----BEGIN PRIVATE KEY-----`",
                );
            }
            _ => {}
        }
    }
}
