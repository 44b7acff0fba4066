//! Password hashes: argon2id on a bounded pool of threads.
//!
//! One check costs some 20 ms of CPU and 19 MiB, so only a few run at a time; more wait in a short queue, and when that
//! is full the caller is told to try again. An unknown account costs the same check as a known one.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use berth_domain::random::Random;
use berth_domain::secret::Secret;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::base62;

/// How hashes are made. The defaults are those of the OWASP password storage guide.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes of one hash; they run one after the other.
    pub lanes: u32,
    /// Hashes that run at a time: each holds a thread and its memory.
    pub threads: usize,
    /// Callers that may wait for a thread; more are refused with [`Error::Busy`].
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            iterations: 2,
            lanes: 1,
            threads: 2,
            queue: 64,
        }
    }
}

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every thread is taken and the queue is full: the caller should try again in a moment.
    #[error("too many passwords are being checked at the moment")]
    Busy,
    /// The options make no valid argon2id parameters: the operator can act.
    #[error("could not set up argon2id with these parameters")]
    Parameters(#[source] argon2::Error),
    /// A hash could not be made, or a stored one cannot be read: a fault of the installation.
    #[error("could not compute the password hash")]
    Hash(#[source] password_hash::Error),
    /// The thread that computed the hash ended early: a fault of the installation, or it is shutting down.
    #[error("the thread that computed the password hash ended early")]
    Thread(#[source] tokio::task::JoinError),
}

/// What checking a password showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not the password, or there is no password.
    Wrong,
    /// The password.
    Right {
        /// Whether the stored hash was made with other parameters than today's and should be replaced.
        outdated: bool,
    },
}

/// Hashes and checks passwords. Cheap to clone; clones share the threads.
#[derive(Clone)]
pub struct Passwords {
    params: Params,
    /// Places for callers that compute or wait.
    places: Arc<Semaphore>,
    /// Places for callers that compute.
    threads: Arc<Semaphore>,
    random: Arc<dyn Random>,
    /// A hash of nobody's password, checked in place of one that does not exist.
    nobody: Arc<str>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Passwords")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl Passwords {
    /// A pool with these options. Computes one hash, so it takes as long as checking one password. Fails when the
    /// parameters are none of argon2id's.
    pub fn new(options: &Options, random: Arc<dyn Random>) -> Result<Self, Error> {
        let params = Params::new(options.memory_kib, options.iterations, options.lanes, None)
            .map_err(Error::Parameters)?;
        let threads = options.threads.max(1);
        let nobody = base62::random(&*random, 43);
        let nobody = hash(&params, salt(&*random), nobody.as_bytes()).map_err(Error::Hash)?;
        Ok(Self {
            params,
            places: Arc::new(Semaphore::new(threads + options.queue)),
            threads: Arc::new(Semaphore::new(threads)),
            random,
            nobody: nobody.into(),
        })
    }

    /// The hash of `password`, as a PHC string with a fresh salt.
    pub async fn hash(&self, password: &Secret) -> Result<String, Error> {
        let (params, salt) = (self.params.clone(), salt(&*self.random));
        let password = Zeroizing::new(password.expose().to_owned());
        self.compute(move || hash(&params, salt, password.as_bytes()))
            .await
    }

    /// Whether `password` belongs to `stored`, a PHC string. Without one (there is no such account, or it has no
    /// password yet) the same work is done and the verdict is [`Verdict::Wrong`].
    pub async fn verify(&self, password: &Secret, stored: Option<&str>) -> Result<Verdict, Error> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        let params = self.params.clone();
        let password = Zeroizing::new(password.expose().to_owned());
        let verdict = self
            .compute(move || verify(&params, &stored, password.as_bytes()))
            .await?;
        Ok(if exists { verdict } else { Verdict::Wrong })
    }

    /// Runs `work` on one of the threads. It goes on when the caller goes away, and its place is free only after it.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Error::Busy)?;
        let thread = Arc::clone(&self.threads)
            .acquire_owned()
            .await
            .map_err(|_| Error::Busy)?;
        let span = tracing::Span::current();
        let answer = tokio::task::spawn_blocking(move || {
            let _held = (place, thread);
            span.in_scope(work)
        });
        answer.await.map_err(Error::Thread)?.map_err(Error::Hash)
    }
}

fn salt(random: &dyn Random) -> [u8; 16] {
    let mut salt = [0; 16];
    random.fill(&mut salt);
    salt
}

fn argon2id(params: &Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
}

fn hash(params: &Params, salt: [u8; 16], password: &[u8]) -> Result<String, password_hash::Error> {
    Ok(argon2id(params)
        .hash_password_with_salt(password, &salt)?
        .to_string())
}

fn verify(params: &Params, stored: &str, password: &[u8]) -> Result<Verdict, password_hash::Error> {
    let stored = PasswordHash::new(stored).map_err(|_| password_hash::Error::EncodingInvalid)?;
    match argon2id(params).verify_password(password, &stored) {
        Ok(()) => {
            let used = Params::try_from(&stored)?;
            let outdated = stored.algorithm != Algorithm::Argon2id.ident()
                || stored.version != Some(Version::V0x13.into())
                || (used.m_cost(), used.t_cost(), used.p_cost())
                    != (params.m_cost(), params.t_cost(), params.p_cost());
            Ok(Verdict::Right { outdated })
        }
        Err(password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::random::SystemRandom;

    use super::*;

    /// Weak on purpose: these tests are about what is decided, not about how long it takes.
    const QUICK: Options = Options {
        memory_kib: 64,
        iterations: 1,
        lanes: 1,
        threads: 1,
        queue: 0,
    };

    fn passwords(options: &Options) -> Passwords {
        Passwords::new(options, Arc::new(SystemRandom)).expect("valid parameters")
    }

    #[tokio::test]
    async fn right_password_is_told_from_a_wrong_one() {
        let passwords = passwords(&Options::default());
        let stored = passwords
            .hash(&Secret::new("correct horse battery"))
            .await
            .expect("hashes");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let right = passwords
            .verify(&Secret::new("correct horse battery"), Some(&stored))
            .await;
        assert_eq!(right.expect("checks"), Verdict::Right { outdated: false });
        let wrong = passwords
            .verify(&Secret::new("Correct horse battery"), Some(&stored))
            .await;
        assert_eq!(wrong.expect("checks"), Verdict::Wrong);
    }

    #[tokio::test]
    async fn equal_passwords_have_different_hashes() {
        let passwords = passwords(&QUICK);
        let password = Secret::new("correct horse battery");
        let one = passwords.hash(&password).await.expect("hashes");
        assert_ne!(one, passwords.hash(&password).await.expect("hashes"));
    }

    #[tokio::test]
    async fn hash_of_other_parameters_is_outdated() {
        let password = Secret::new("correct horse battery");
        let old = passwords(&QUICK).hash(&password).await.expect("hashes");
        let stronger = passwords(&Options {
            iterations: 2,
            ..QUICK
        });
        let verdict = stronger.verify(&password, Some(&old)).await.expect("checks");
        assert_eq!(verdict, Verdict::Right { outdated: true });
    }

    #[tokio::test]
    async fn missing_account_is_wrong_whatever_the_password() {
        let passwords = passwords(&QUICK);
        for password in ["", "correct horse battery"] {
            let verdict = passwords.verify(&Secret::new(password), None).await;
            assert_eq!(verdict.expect("checks"), Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn unreadable_stored_hash_is_a_fault_and_no_verdict() {
        for stored in ["", "plain", "$argon2id$v=19$m=1,t=1,p=1$c2FsdHNhbHQ$AAAA"] {
            let verdict = passwords(&QUICK).verify(&Secret::new("x"), Some(stored)).await;
            assert!(matches!(verdict, Err(Error::Hash(_))), "{stored:?}: {verdict:?}");
        }
    }

    #[tokio::test]
    async fn caller_beyond_the_queue_is_refused() {
        let passwords = passwords(&QUICK);
        let taken = Arc::clone(&passwords.places)
            .try_acquire_owned()
            .expect("a place is free");
        let refused = passwords.hash(&Secret::new("x")).await;
        assert!(matches!(refused, Err(Error::Busy)));
        drop(taken);
        assert!(passwords.hash(&Secret::new("x")).await.is_ok());
    }
}
