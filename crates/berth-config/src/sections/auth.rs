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
    /// How long an access token is valid; clients then fetch the next one by themselves. What its owner may do is looked up
    /// for each request, so a role that is taken away is gone at once, and a session that is ended within five seconds,
    /// however long this is. Long times spare clients requests; short ones bound how long a stolen token works that nobody
    /// has missed.
    pub access_token_lifetime: Span,
    /// How long a refresh token can be used, and so how long a session lives without being used. Each use begins it anew.
    pub refresh_token_lifetime: Span,
    /// How long a session lives at most, however often it is used.
    pub session_lifetime: Span,
    /// How long an invitation can be accepted.
    pub invitation_lifetime: Span,
    /// How long a link to set a new password works.
    pub password_reset_lifetime: Span,
    /// How long the first link of an account works that an operator made.
    pub first_password_lifetime: Span,
    /// Passwords hashed at the same time in one process. Each takes a core for some 20 ms and 19 MiB of memory.
    pub password_threads: u16,
    /// The installation's word in its API keys (`bth_live_…`), by which a leaked key is told from one of a test system: 1
    /// to 12 small letters or digits.
    pub key_environment: String,
    /// The longest time for which the old secret of a rotated key may go on.
    pub key_rotation_grace: Span,
    /// Keys whose record is kept in memory by one process; each costs about 1 kB.
    pub key_cache_entries: u64,
    /// How often something can be tried that could be guessing. Counted for all processes together.
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
            session_lifetime: Span::days(90),
            invitation_lifetime: Span::days(7),
            password_reset_lifetime: Span::hours(1),
            first_password_lifetime: Span::days(7),
            password_threads: 2,
            key_environment: "live".to_owned(),
            key_rotation_grace: Span::days(30),
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
            ("session_lifetime", self.session_lifetime),
            ("first_password_lifetime", self.first_password_lifetime),
            ("invitation_lifetime", self.invitation_lifetime),
            ("password_reset_lifetime", self.password_reset_lifetime),
        ] {
            check.some_time(field, span);
        }
        check.at_least_one("password_threads", self.password_threads);
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !(1..=12).contains(&self.key_environment.len()) || !self.key_environment.chars().all(word) {
            check.problem("key_environment", "must have 1 to 12 small letters or digits");
        }
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

/// How often something can be tried that could be guessing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Throttle {
    /// Attempts to sign in to one account within `sign_in_window`; success begins a new count. Low numbers slow down
    /// guessing, but let others lock a person out for that time.
    pub sign_in_per_account: u32,
    /// Attempts to sign in from one address within `sign_in_window`. People behind one proxy share an address.
    pub sign_in_per_address: u32,
    /// The time over which attempts to sign in count.
    pub sign_in_window: Span,
    /// Accounts made and links used from one address within an hour.
    pub sign_up_per_address: u32,
    /// Links asked for to set a new password of one account within an hour.
    pub reset_per_account: u32,
    /// Links asked for to set new passwords from one address within an hour.
    pub reset_per_address: u32,
    /// API keys that do not exist, tried from one address within a minute; for refresh tokens, the same again.
    pub unknown_keys_per_address: u32,
    /// People invited into one organization and its projects within an hour. Each of them gets a letter, wanted or not.
    pub invitations_per_organization: u32,
    /// Invitations of one e-mail address within a day, by whomever.
    pub invitations_per_recipient: u32,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            sign_in_per_account: 10,
            sign_in_per_address: 50,
            sign_in_window: Span::minutes(15),
            sign_up_per_address: 30,
            reset_per_account: 3,
            reset_per_address: 20,
            unknown_keys_per_address: 120,
            invitations_per_organization: 50,
            invitations_per_recipient: 10,
        }
    }
}

impl Throttle {
    fn settle(&self, check: &mut Check<'_>) {
        for (field, count) in [
            ("sign_in_per_account", self.sign_in_per_account),
            ("sign_in_per_address", self.sign_in_per_address),
            ("sign_up_per_address", self.sign_up_per_address),
            ("reset_per_account", self.reset_per_account),
            ("reset_per_address", self.reset_per_address),
            ("unknown_keys_per_address", self.unknown_keys_per_address),
            ("invitations_per_organization", self.invitations_per_organization),
            ("invitations_per_recipient", self.invitations_per_recipient),
        ] {
            check.at_least_one(field, count);
        }
        check.some_time("sign_in_window", self.sign_in_window);
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
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.id.is_empty() || self.id.len() > 32 || !self.id.chars().all(plain) {
            check.problem("id", "must have 1 to 32 letters, digits and `-`");
        }
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
    /// The private key: Ed25519 as PKCS #8 in PEM.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "…")]
    pub key: Option<Secret>,
    /// File that holds `key`.
    #[schemars(example = "/run/secrets/berth/signing-2026-01.pem")]
    pub key_file: Option<PathBuf>,
}

impl SigningKey {
    fn settle(&mut self, check: &mut Check<'_>) {
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
