//! What the functions of this crate share: the store, coordination, the clock, the keys, the options.

use std::fmt;
use std::sync::Arc;

use berth_coordination::{Coordination, Topic};
use berth_domain::clock::{Clock, Timestamp};
use berth_domain::random::Random;
use berth_store::{Store, Tx, changes};
use chrono::TimeDelta;

use crate::announcement::{Announcement, Keys};
use crate::key_text::{Environment, PublicId};
use crate::passwords::{self, Passwords};
use crate::pepper::Peppers;
use crate::sessions::SessionCache;
use crate::signing::{KeySet, SigningKeys};
use crate::throttle::{self, Throttles};
use crate::tokens::{self, AccessTokens};

/// Who may make an account of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignUpPolicy {
    /// Nobody: operators make accounts, or invite people to make theirs.
    #[default]
    Closed,
    /// Whoever holds an invitation, for the invited address.
    Invite,
    /// Everyone. Everyone may then make an organization too.
    Open,
}

/// The rules of an installation.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may make an account of their own.
    pub sign_up: SignUpPolicy,
    /// Whether mail can be sent. If not, links are returned to whoever asks for an invitation, and forgotten passwords
    /// need an operator.
    pub mail: bool,
    /// The installation's word in its API keys.
    pub environment: Environment,
    /// Access tokens.
    pub tokens: tokens::Options,
    /// How long a refresh token can be used. Each use gives a new one.
    pub refresh_lifetime: TimeDelta,
    /// How long a session lives at most, however often it is refreshed.
    pub session_lifetime: TimeDelta,
    /// How long an invitation can be accepted.
    pub invitation_lifetime: TimeDelta,
    /// How long a link to set a forgotten password works.
    pub password_reset_lifetime: TimeDelta,
    /// How long the first link of an account that an operator made works.
    pub first_password_lifetime: TimeDelta,
    /// The longest time for which a replaced secret of an API key may go on.
    pub max_grace: TimeDelta,
    /// Password hashes.
    pub passwords: passwords::Options,
    /// Limits on guessing.
    pub throttle: throttle::Options,
}

impl Options {
    /// The usual rules of the installation that is reached at `address`.
    pub fn new(address: impl Into<String>, environment: Environment) -> Self {
        Self {
            sign_up: SignUpPolicy::default(),
            mail: false,
            environment,
            tokens: tokens::Options::new(address),
            refresh_lifetime: TimeDelta::days(30),
            session_lifetime: TimeDelta::days(90),
            invitation_lifetime: TimeDelta::days(7),
            password_reset_lifetime: TimeDelta::hours(1),
            first_password_lifetime: TimeDelta::days(7),
            max_grace: TimeDelta::days(30),
            passwords: passwords::Options::default(),
            throttle: throttle::Options::default(),
        }
    }
}

/// What the functions of this crate stand on.
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Coordination.
    pub coordination: Arc<dyn Coordination>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness fit for secrets.
    pub random: Arc<dyn Random>,
    /// The peppers.
    pub peppers: Peppers,
    /// The keys that sign access tokens.
    pub signing_keys: SigningKeys,
}

/// Accounts, sessions, organizations and keys: everything but the [hot path](crate::authenticator). Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    store: Store,
    coordination: Arc<dyn Coordination>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    peppers: Peppers,
    tokens: AccessTokens,
    passwords: Passwords,
    throttles: Throttles,
    sessions: SessionCache,
}

impl fmt::Debug for Auth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Auth")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

impl Auth {
    /// Puts the parts together. Takes as long as checking one password. Fails when the options make no valid
    /// parameters of argon2id.
    pub fn new(options: Options, parts: Parts) -> Result<Self, passwords::Error> {
        let Parts {
            store,
            coordination,
            clock,
            random,
            peppers,
            signing_keys,
        } = parts;
        Ok(Self {
            inner: Arc::new(Inner {
                tokens: AccessTokens::new(options.tokens.clone(), signing_keys, Arc::clone(&clock)),
                passwords: Passwords::new(&options.passwords, Arc::clone(&random))?,
                throttles: Throttles::new(Arc::clone(&coordination), options.throttle, Arc::clone(&clock)),
                sessions: SessionCache::new(),
                options,
                store,
                coordination,
                clock,
                random,
                peppers,
            }),
        })
    }

    /// The rules.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The public halves of the keys that sign access tokens, to be served at `/.well-known/jwks.json`.
    pub fn key_set(&self) -> KeySet {
        self.inner.tokens.keys().key_set()
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.inner.random
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn peppers(&self) -> &Peppers {
        &self.inner.peppers
    }

    pub(crate) fn tokens(&self) -> &AccessTokens {
        &self.inner.tokens
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn throttles(&self) -> &Throttles {
        &self.inner.throttles
    }

    pub(crate) fn session_cache(&self) -> &SessionCache {
        &self.inner.sessions
    }

    /// Commits a change to keys and tells every node. When telling fails, the nodes notice by the counter within half
    /// a second, so the change is made all the same.
    pub(crate) async fn commit_and_announce(
        &self,
        mut tx: Tx,
        keys: Vec<PublicId>,
    ) -> Result<(), berth_store::Error> {
        let value = tx.changes().bump(changes::Topic::Keys).await?;
        tx.commit().await?;
        let keys = if keys.is_empty() {
            Keys::All
        } else {
            Keys::These(keys)
        };
        self.announce(value, keys).await;
        Ok(())
    }

    /// Commits a change to the surroundings of any number of keys, such as a suspension, and tells every node.
    pub(crate) async fn commit_and_announce_all(&self, mut tx: Tx) -> Result<(), berth_store::Error> {
        let value = tx.changes().bump(changes::Topic::Keys).await?;
        tx.commit().await?;
        self.announce(value, Keys::All).await;
        Ok(())
    }

    pub(crate) async fn announce(&self, value: i64, keys: Keys) {
        let payload = Announcement::Changed { value, keys }.to_string();
        if let Err(error) = self.inner.coordination.publish(Topic::Keys, &payload).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                "a change to API keys was not announced; the nodes will notice it by the counter"
            );
        }
    }
}
