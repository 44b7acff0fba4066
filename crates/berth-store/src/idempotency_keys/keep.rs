//! Keeping an answer in the transaction of the change that it tells of.

use std::error::Error as StdError;
use std::fmt;

use crate::error::Error;
use crate::idempotency_keys::{Answer, Request};
use crate::tx::Tx;

/// An answer, or why it cannot be written down.
pub type Rendered = Result<Answer, Box<dyn StdError + Send + Sync>>;

type Render<'a, T> = Box<dyn Fn(&T) -> Rendered + Send + Sync + 'a>;

/// How the answer about a `T` is kept, if the request that makes it can be repeated.
///
/// Whoever makes a `T` calls [`Keep::write`] in its transaction, last before the commit. So there is either the `T` with its
/// answer or neither, whenever a process dies; and of two attempts at the same request only one can commit.
pub struct Keep<'a, T>(Option<(&'a Request, Render<'a, T>)>);

impl<'a, T> Keep<'a, T> {
    /// Keeps nothing: the client sent no key.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Keeps what `answer` makes of the `T`, as the answer to `request`, which was claimed before.
    pub fn new(request: &'a Request, answer: impl Fn(&T) -> Rendered + Send + Sync + 'a) -> Self {
        Self(Some((request, Box::new(answer))))
    }

    /// Writes the answer about `made` in the transaction that makes it, which must be in the scope of the request's owner.
    /// Fails with [`Error::UnexpectedRows`] when another attempt has taken the request over; whenever it fails, nothing may
    /// be committed.
    pub async fn write(&self, tx: &mut Tx, made: &T) -> Result<(), Error> {
        let Some((request, answer)) = &self.0 else {
            return Ok(());
        };
        let answer = answer(made).map_err(Error::Answer)?;
        tx.idempotency_keys().finish(request, &answer).await
    }
}

impl<T> fmt::Debug for Keep<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.0.as_ref().map(|(request, _)| request);
        out.debug_tuple("Keep").field(&request).finish()
    }
}
