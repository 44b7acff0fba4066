//! Requests that their clients may repeat under a key of their own choice (`Idempotency-Key`), so that what was done once
//! is not done again because an answer was lost.
//!
//! [`Auth::begin`] claims the key for all to see. Whoever then makes the thing writes the answer with it, in one
//! transaction, by the [`Keep`] that the [`Attempt`] gives. While it works it shows from time to time that it lives. A
//! process that dies leaves a claim without an answer and without a change: after a while the same request may be tried
//! again. Answers can hold secrets that are shown once, so they are [sealed](crate::sealing).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use berth_domain::access::Caller;
use berth_domain::creator::Creator;
use berth_domain::digest::Sha256;
use berth_store::Tx;
use berth_store::idempotency_keys::{Answer, Claim, Keep, Owner, Rendered, Request};
use chrono::TimeDelta;

use crate::auth::Auth;
use crate::sealing;

/// How long an answer is kept.
pub const KEPT_FOR: TimeDelta = TimeDelta::hours(24);

/// The most characters of a key.
pub const MAX_KEY_LENGTH: usize = 255;

/// A text that cannot be a key: the client can act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing in it.
    #[error("the key is empty")]
    Empty,
    /// It is too long.
    #[error("the key has more than {MAX_KEY_LENGTH} characters")]
    TooLong,
    /// It has characters that are not printable ASCII.
    #[error("the key has characters that are not printable ASCII")]
    Characters,
}

/// What a client tells its requests apart by: 1 to [`MAX_KEY_LENGTH`] printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(KeyError::Characters);
        }
        if text.len() > MAX_KEY_LENGTH {
            return Err(KeyError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a request under a key is not carried out, and has no answer either.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first one is still running: the client can act by waiting a moment.
    #[error("the first request with this key is still running")]
    Running,
    /// The key stands for another request, or for somebody else's: the client can act by taking another key.
    #[error("the key was used for another request")]
    Different,
    /// The kept answer cannot be shown: the operator can act.
    #[error("the answer that was kept cannot be opened")]
    Sealed(#[from] sealing::Error),
    /// The database cannot be asked at the moment: try again.
    #[error("could not read or write kept answers")]
    Store(#[from] berth_store::Error),
}

/// A request that came with a key.
#[derive(Debug)]
pub struct Repeatable<'a> {
    /// Who asks. The answer is for nobody else.
    pub caller: &'a Caller,
    /// With whom the answer is kept: the organization in which something is made, or the person who makes it.
    pub owner: Owner,
    /// The route, as the route table writes it. The same key on another route is another key.
    pub route: String,
    /// The key.
    pub key: Key,
    /// A digest of what is asked for.
    pub content: Sha256,
    /// For how long the request may show no sign of life before it counts as abandoned. It may go on all the same; then the
    /// first of two to commit wins, and the other one changes nothing.
    pub patience: TimeDelta,
}

/// What becomes of a request that came with a key.
pub enum Begun {
    /// It is to be carried out.
    Fresh(Attempt),
    /// It was; this was the answer.
    Answered(Answer),
}

impl Auth {
    /// Begins a request that came with a key, or tells what is known of it. Fails when it cannot be carried out now
    /// ([`Error::Running`]) or under this key ([`Error::Different`]).
    pub async fn begin(&self, repeatable: Repeatable<'_>) -> Result<Begun, Error> {
        let now = self.now();
        let request = Request {
            owner: repeatable.owner,
            route: repeatable.route,
            key: repeatable.key.0,
            fingerprint: fingerprint(repeatable.caller, repeatable.content),
            now,
            expires_at: now + KEPT_FOR,
            abandoned_before: now - repeatable.patience,
        };
        let mut tx = self.tx_of(request.owner).await?;
        let claim = tx.idempotency_keys().claim(&request).await?;
        tx.commit().await?;
        match claim {
            Claim::Fresh => Ok(Begun::Fresh(Attempt {
                auth: self.clone(),
                request,
                // Two signs may be lost.
                sign_every: (repeatable.patience / 3).to_std().unwrap_or_default(),
                open: true,
            })),
            Claim::Running => Err(Error::Running),
            Claim::Different => Err(Error::Different),
            Claim::Done(kept) => {
                let body = sealing::open(self.peppers(), &place(&request), &kept.body)?;
                Ok(Begun::Answered(Answer { body, ..kept }))
            }
        }
    }

    async fn tx_of(&self, owner: Owner) -> Result<Tx, berth_store::Error> {
        match owner {
            Owner::Organization(organization) => self.store().tenant(organization).await,
            Owner::Person(person) => self.store().person(person).await,
        }
    }
}

/// A request that is being carried out under a key. When it is dropped before it is [done](Attempt::done), as happens when
/// the client hangs up, the key is given free in the background.
pub struct Attempt {
    auth: Auth,
    request: Request,
    sign_every: Duration,
    open: bool,
}

impl Attempt {
    /// What keeps the answer, sealed, with the `T` that is made. `answer` is what is answered, in the clear.
    pub fn keep<'a, T>(&'a self, answer: impl Fn(&T) -> Rendered + Send + Sync + 'a) -> Keep<'a, T> {
        Keep::new(&self.request, move |made| {
            let clear = answer(made)?;
            let (peppers, random) = (self.auth.peppers(), self.auth.random());
            let body = sealing::seal(peppers, random, &place(&self.request), &clear.body)?;
            Ok(Answer { body, ..clear })
        })
    }

    /// Does `work`, which is what was asked for, and shows all the while that it goes on: it may take longer than a repetition
    /// would wait for it.
    pub async fn carry_out<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.show_life() => match never {},
        }
    }

    async fn show_life(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.sign_every).await;
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!("a request that runs has lost its idempotency key");
                    return std::future::pending().await;
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "a request that runs could not show that it does");
                }
            }
        }
    }

    async fn renew(&self) -> Result<bool, berth_store::Error> {
        let mut tx = self.auth.tx_of(self.request.owner).await?;
        let expires_at = self.auth.now() + KEPT_FOR;
        let held = tx.idempotency_keys().renew(&self.request, expires_at).await?;
        tx.commit().await?;
        Ok(held)
    }

    /// Ends the attempt: its answer was kept.
    pub fn done(mut self) {
        self.open = false;
    }

    /// Ends the attempt after a failure, so that it can be repeated. Answers `false` when the answer was kept after all, or
    /// another attempt has taken over: the same request will find out.
    pub async fn give_up(mut self) -> Result<bool, Error> {
        let held = release(&self.auth, &self.request).await?;
        self.open = false;
        Ok(held)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // Without a runtime the process is ending; the claim then counts as abandoned after a while.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (auth, request) = (self.auth.clone(), self.request.clone());
            runtime.spawn(async move {
                if let Err(error) = release(&auth, &request).await {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "an abandoned request keeps its idempotency key for a while"
                    );
                }
            });
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Attempt")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

async fn release(auth: &Auth, request: &Request) -> Result<bool, berth_store::Error> {
    let mut tx = auth.tx_of(request.owner).await?;
    let held = tx.idempotency_keys().release(request).await?;
    tx.commit().await?;
    Ok(held)
}

/// Who asks for what. With the caller in it, an answer with a secret is shown to no other member of the organization who
/// happens to choose the same key.
fn fingerprint(caller: &Caller, content: Sha256) -> [u8; 32] {
    let who = match Creator::from(caller) {
        Creator::User(user) => user.to_string(),
        Creator::Key(key) => key.to_string(),
    };
    *Sha256::of(&[who.as_bytes(), b"\0", content.as_bytes()].concat()).as_bytes()
}

/// Where an answer is kept, as what it is sealed for.
fn place(request: &Request) -> Vec<u8> {
    let owner = match request.owner {
        Owner::Organization(organization) => organization.to_string(),
        Owner::Person(person) => person.to_string(),
    };
    let parts = [&*owner, &*request.route, &*request.key].join("\0");
    [&request.fingerprint, parts.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_printable_texts() {
        let longest = "k".repeat(MAX_KEY_LENGTH);
        for good in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "a b~", &longest] {
            assert_eq!(good.parse::<Key>().expect(good).as_str(), good);
        }
        for (bad, why) in [
            ("", KeyError::Empty),
            ("a\tb", KeyError::Characters),
            ("a\u{7f}", KeyError::Characters),
            ("a\0", KeyError::Characters),
            ("ä", KeyError::Characters),
            (&"k".repeat(MAX_KEY_LENGTH + 1), KeyError::TooLong),
        ] {
            assert_eq!(bad.parse::<Key>(), Err(why), "{bad:?}");
        }
    }
}
