//! Signing in, staying signed in, signing out.
//!
//! A session is the family of refresh tokens that came out of one sign-in. Each token is used once and gives the next; a
//! second use means that two parties hold it, so the session ends for both. There is no allowance: of two refreshes with
//! the same token at the same time exactly one succeeds, and the other ends the session, the fresh tokens of the first
//! with it. A client must not refresh twice at a time.
//!
//! Whether a session still lives is asked of the database at most every [`CACHE_LIFETIME`] on each node; so a sign-out, a
//! password change or a disabled account holds at once on the node where it happened and within that time on all, not
//! only when the access token expires.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berth_domain::access::Person;
use berth_domain::clock::Timestamp;
use berth_domain::id::{SessionId, UserId};
use berth_domain::name::Email;
use berth_domain::secret::Secret;
use berth_store::Tx;
use berth_store::refresh_tokens::NewRefreshToken;
use berth_store::sessions::{NewSession, Session};
use moka::sync::Cache;

use crate::auth::Auth;
use crate::passwords::{self, Verdict};
use crate::throttle::{Attempt, Exceeded};
use crate::tokens::{self, AccessToken, RefreshToken, SignError};

/// How long a node trusts what it knows of a session.
pub const CACHE_LIFETIME: Duration = Duration::from_secs(5);

/// The most sessions that a node remembers.
const CACHE_CAPACITY: u64 = 100_000;

/// The most characters of what a client calls itself that are stored.
const CLIENT_LENGTH: usize = 200;

/// What signing in or refreshing gives.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who signed in.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The token to call with.
    pub access: AccessToken,
    /// The token that gives the next pair, once.
    pub refresh: Secret,
    /// Until when the refresh token can be used.
    pub refresh_expires_at: Timestamp,
}

/// Why signing in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// There is no such account, or the password is another: told alike, in the same time. The caller can act.
    #[error("the e-mail address or the password is wrong")]
    Credentials,
    /// The password is right, but the account may not sign in: an operator can act.
    #[error("the account is disabled")]
    Disabled,
    /// Too many attempts: the caller can act by waiting.
    #[error("could not sign in")]
    Throttled(#[source] Exceeded),
    /// Passwords cannot be checked at the moment.
    #[error("could not check the password")]
    Password(#[from] passwords::Error),
    /// The token could not be signed: a fault of the installation.
    #[error("could not make the tokens of the session")]
    Sign(#[from] SignError),
    /// The database cannot be asked at the moment: try again; the operator can act.
    #[error("could not begin the session")]
    Store(#[from] berth_store::Error),
}

/// Why a refresh token gives no new tokens.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// There is no such token, or its time or that of its session is over: sign in again.
    #[error("the refresh token is not valid")]
    Invalid,
    /// Too many refresh tokens that do not exist came from the address: the caller can act by waiting.
    #[error("could not refresh the session")]
    Throttled(#[source] Exceeded),
    /// The token was used before, so somebody else may hold it: the session has ended. Sign in again.
    #[error("the refresh token was used before; the session has been ended")]
    Reused,
    /// The account may not sign in any more: an operator can act.
    #[error("the account is disabled")]
    Disabled,
    /// The token could not be signed: a fault of the installation.
    #[error("could not make the tokens of the session")]
    Sign(#[from] SignError),
    /// The database cannot be asked at the moment: try again. Whether the token was used up is not known; if it was, the
    /// next try ends the session.
    #[error("could not refresh the session")]
    Store(#[from] berth_store::Error),
}

/// Why an access token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token itself is refused: refresh the session, or sign in.
    #[error("the access token is refused")]
    Token(#[from] tokens::Error),
    /// The session was ended: sign in again.
    #[error("the session has ended")]
    SessionEnded,
    /// The account may not be used any more: an operator can act.
    #[error("the account is disabled")]
    Disabled,
    /// Whether the session lives cannot be told at the moment: try again; the operator can act.
    #[error("it cannot be told at the moment whether the session lives")]
    Store(#[from] berth_store::Error),
}

/// What a node remembers of sessions, for a short time.
#[derive(Debug)]
pub(crate) struct SessionCache {
    known: Cache<SessionId, Known>,
    /// Moves on whenever something is forgotten, so that what was read before is not remembered after.
    epoch: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    user: UserId,
    operator: bool,
    ends_at: Timestamp,
}

impl SessionCache {
    pub(crate) fn new() -> Self {
        Self {
            known: Cache::builder()
                .max_capacity(CACHE_CAPACITY)
                .time_to_live(CACHE_LIFETIME)
                .build(),
            epoch: AtomicU64::new(0),
        }
    }

    /// To be taken before a session is read, and handed to [`SessionCache::keep`] with it.
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Remembers a session, unless something was forgotten since `epoch`.
    fn keep(&self, session: SessionId, known: Known, epoch: u64) {
        self.known.insert(session, known);
        // Whoever forgets moves the epoch on first: either that is seen here, or their removal comes after our insertion.
        if self.epoch() != epoch {
            self.known.invalidate(&session);
        }
    }

    /// Forgets a session, because it was ended here.
    pub(crate) fn forget(&self, session: SessionId) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(&session);
    }

    /// Forgets every session, because several were ended here.
    pub(crate) fn forget_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
    }
}

impl Auth {
    /// Signs in with a password, from `address`, with what the client calls itself.
    pub async fn sign_in(
        &self,
        email: &Email,
        password: &Secret,
        client: Option<&str>,
        address: IpAddr,
    ) -> Result<SignedIn, SignInError> {
        // The address first: one that is refused does not use up the account's attempts.
        self.throttles()
            .hit(&[Attempt::SignInFrom(address), Attempt::SignInTo(email)])
            .await
            .map_err(SignInError::Throttled)?;
        let found = self.store().find_user_by_email(email).await?;
        let stored = found.as_ref().and_then(|user| user.password_hash.as_deref());
        let verdict = self.passwords().verify(password, stored).await?;
        let (Some(user), Verdict::Right { outdated }) = (found, verdict) else {
            return Err(SignInError::Credentials);
        };
        if user.disabled_at.is_some() {
            return Err(SignInError::Disabled);
        }
        let renewed = if outdated {
            Some(self.passwords().hash(password).await?)
        } else {
            None
        };
        let mut tx = self.store().person(user.user).await?;
        // While the password was checked it may have been replaced, which ends every session but this one, or the account
        // disabled.
        let present = tx.passwords().lock(user.user).await?;
        if present.map(|password| password.hash) != user.password_hash {
            return Err(SignInError::Credentials);
        }
        if let Some(hash) = renewed {
            tx.passwords().rehash(user.user, &hash).await?;
        }
        let signed_in = self.begin_session(&mut tx, user.user, client).await?;
        tx.commit().await?;
        self.throttles().clear(Attempt::SignInTo(email)).await;
        Ok(signed_in)
    }

    /// Begins a session of `user` in their scope.
    pub(crate) async fn begin_session(
        &self,
        tx: &mut Tx,
        user: UserId,
        client: Option<&str>,
    ) -> Result<SignedIn, BeginError> {
        let now = self.now();
        let session = NewSession {
            id: SessionId::new(self.clock(), self.random()),
            user,
            client: client.map(shortened),
            created_at: now,
            expires_at: now + self.options().session_lifetime,
        };
        tx.sessions().insert(&session).await?;
        self.give_tokens(tx, user, session.id, session.expires_at).await
    }

    /// A fresh pair of tokens for a session that ends at `ends_at`.
    async fn give_tokens(
        &self,
        tx: &mut Tx,
        user: UserId,
        session: SessionId,
        ends_at: Timestamp,
    ) -> Result<SignedIn, BeginError> {
        let now = self.now();
        let refresh = RefreshToken::new(self.random());
        let refresh_expires_at = (now + self.options().refresh_lifetime).min(ends_at);
        tx.refresh_tokens()
            .insert(&NewRefreshToken {
                token_hash: refresh.hash,
                session,
                user,
                created_at: now,
                expires_at: refresh_expires_at,
            })
            .await?;
        Ok(SignedIn {
            user,
            session,
            access: self.tokens().issue(user, session, ends_at)?,
            refresh: refresh.text,
            refresh_expires_at,
        })
    }

    /// Uses a refresh token, sent from `address`, up and gives the next pair.
    pub async fn refresh(&self, token: &Secret, address: IpAddr) -> Result<SignedIn, RefreshError> {
        let hash = RefreshToken::hash_of(token.expose()).ok_or(RefreshError::Invalid)?;
        let unknown = Attempt::UnknownRefreshFrom(address);
        self.throttles()
            .check_here(unknown)
            .map_err(RefreshError::Throttled)?;
        let Some(found) = self.store().find_refresh_token(&hash).await? else {
            self.throttles().note_here(unknown);
            return Err(RefreshError::Invalid);
        };
        if found.user_disabled_at.is_some() {
            return Err(RefreshError::Disabled);
        }
        let (user, session) = (found.user, found.session);
        let mut tx = self.store().person(user).await?;
        // From here on refreshes of the session come one after the other.
        let locked = tx
            .sessions()
            .lock(user, session)
            .await?
            .ok_or(RefreshError::Invalid)?;
        let now = self.now();
        if locked.ended_at.is_some() || locked.expires_at <= now {
            return Err(RefreshError::Invalid);
        }
        if !tx.refresh_tokens().mark_used(user, &hash, now).await? {
            tx.sessions()
                .end(user, session, "refresh_token_reused", now)
                .await?;
            tx.commit().await?;
            self.session_cache().forget(session);
            tracing::warn!(
                user.id = %user,
                session.id = %session,
                "a refresh token was used twice; the session was ended"
            );
            return Err(RefreshError::Reused);
        }
        if found.expires_at <= now {
            return Err(RefreshError::Invalid);
        }
        let signed_in = self
            .give_tokens(&mut tx, user, session, locked.expires_at)
            .await?;
        tx.commit().await?;
        Ok(signed_in)
    }

    /// Who sends the access token `text`, if it holds and its session lives.
    pub async fn authenticate_token(&self, text: &str) -> Result<Person, TokenError> {
        let claimed = self.tokens().verify(text)?;
        let known = match self.session_cache().known.get(&claimed.session) {
            Some(known) => known,
            None => self.ask_for_session(claimed.session).await?,
        };
        if known.user != claimed.user || known.ends_at <= self.now() {
            return Err(TokenError::SessionEnded);
        }
        Ok(Person {
            user: known.user,
            session: claimed.session,
            operator: known.operator,
        })
    }

    /// `person` as they stand in the database now, past what this node remembers. Fails when their session has ended or
    /// their account is disabled. Whether their token has expired meanwhile does not matter.
    pub async fn confirm_person(&self, person: &Person) -> Result<Person, TokenError> {
        let known = self.ask_for_session(person.session).await?;
        if known.user != person.user || known.ends_at <= self.now() {
            return Err(TokenError::SessionEnded);
        }
        Ok(Person {
            operator: known.operator,
            ..*person
        })
    }

    /// Asks the database for a session; a live one is remembered, unless one was ended here meanwhile.
    async fn ask_for_session(&self, session: SessionId) -> Result<Known, TokenError> {
        let epoch = self.session_cache().epoch();
        let found = self
            .store()
            .find_session(session)
            .await?
            .ok_or(TokenError::SessionEnded)?;
        if found.user_disabled_at.is_some() {
            return Err(TokenError::Disabled);
        }
        if found.ended_at.is_some() {
            return Err(TokenError::SessionEnded);
        }
        let known = Known {
            user: found.user,
            operator: found.operator,
            ends_at: found.expires_at,
        };
        self.session_cache().keep(session, known, epoch);
        Ok(known)
    }

    /// Ends the session in which `person` calls.
    pub async fn sign_out(&self, person: &Person) -> Result<(), berth_store::Error> {
        self.end_session(person, person.session).await.map(drop)
    }

    /// The live sessions of `person`, the newest first.
    pub async fn sessions(&self, person: &Person) -> Result<Vec<Session>, berth_store::Error> {
        let mut tx = self.store().person(person.user).await?;
        tx.sessions().list(person.user, self.now()).await
    }

    /// Ends one of `person`'s sessions. Answers whether it was open.
    pub async fn end_session(&self, person: &Person, session: SessionId) -> Result<bool, berth_store::Error> {
        let mut tx = self.store().person(person.user).await?;
        let ended = tx
            .sessions()
            .end(person.user, session, "signed_out", self.now())
            .await?;
        tx.commit().await?;
        self.session_cache().forget(session);
        Ok(ended)
    }

    /// Ends all of `person`'s sessions but the one in which they call. Answers how many were open.
    pub async fn end_other_sessions(&self, person: &Person) -> Result<u64, berth_store::Error> {
        let mut tx = self.store().person(person.user).await?;
        let ended = tx
            .sessions()
            .end_others(person.user, Some(person.session), "signed_out", self.now())
            .await?;
        tx.commit().await?;
        self.session_cache().forget_all();
        Ok(ended)
    }
}

/// Why the tokens of a session could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    #[error("could not sign the access token")]
    Sign(#[from] SignError),
    #[error("could not store the session")]
    Store(#[from] berth_store::Error),
}

impl From<BeginError> for SignInError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Sign(error) => Self::Sign(error),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

impl From<BeginError> for RefreshError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Sign(error) => Self::Sign(error),
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

/// What a client calls itself, without what could disturb a log or a page.
fn shortened(client: &str) -> String {
    client
        .chars()
        .filter(|c| !c.is_control())
        .take(CLIENT_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_client_is_stored_short_and_plain() {
        assert_eq!(shortened("curl/8\u{0}\n\u{1b}[2J"), "curl/8[2J");
        assert_eq!(shortened(&"ä".repeat(300)).chars().count(), CLIENT_LENGTH);
    }
}
