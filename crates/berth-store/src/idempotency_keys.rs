//! Answers kept for clients that repeat a request under the same `Idempotency-Key`.
//!
//! A request is *claimed* in a transaction of its own, so that everybody sees that it runs; its answer is kept by [`Keep`]
//! in the transaction of the change. A claim is told from a later one of the same key by the moment at which it was made:
//! an attempt that was given up for dead cannot finish any more once another has claimed its key.
//!
//! A claim shows that it lives by moving its expiry on: how far that is ahead of a claim made now tells how long ago the
//! last sign of life was.

mod keep;

use berth_domain::clock::Timestamp;
use berth_domain::id::{OrganizationId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::keep::{Keep, Rendered};
use crate::error::{Error, at_most_one_row, one_row};
use crate::row::Row;

/// With whom answers are kept. Keys of different owners have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// An organization, for what is made in it.
    Organization(OrganizationId),
    /// A person, for what is made outside organizations.
    Person(UserId),
}

impl Owner {
    fn id(self) -> Uuid {
        match self {
            Self::Organization(organization) => organization.as_uuid(),
            Self::Person(person) => person.as_uuid(),
        }
    }

    fn columns(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::Organization(organization) => (Some(organization.as_uuid()), None),
            Self::Person(person) => (None, Some(person.as_uuid())),
        }
    }
}

/// A request that its client may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// With whom its answer is kept.
    pub owner: Owner,
    /// The route, as the route table writes it.
    pub route: String,
    /// What the client sent as its key.
    pub key: String,
    /// A digest of who asks for what.
    pub fingerprint: [u8; 32],
    /// When it came.
    pub now: Timestamp,
    /// Until when its answer is kept.
    pub expires_at: Timestamp,
    /// A request without an answer whose last sign of life came before this moment was abandoned by a process that died.
    pub abandoned_before: Timestamp,
}

/// What was answered. A secret that is shown once must not be in it in the clear.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is known about a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is this transaction's to do, once committed, this process's.
    Fresh,
    /// It is being done.
    Running,
    /// It was done.
    Done(Answer),
    /// The key belongs to another request.
    Different,
}

/// Kept answers, inside a transaction of their owner.
pub struct IdempotencyKeys<'t>(pub(crate) &'t mut PgConnection);

impl IdempotencyKeys<'_> {
    /// Claims a request, or tells what is known about it. A claim that ended, or was abandoned by the very same request, is
    /// taken over.
    pub async fn claim(&mut self, request: &Request) -> Result<Claim, Error> {
        let (organization, person) = request.owner.columns();
        let claimed = sqlx::query!(
            "INSERT INTO idempotency_keys (organization_id, user_id, route, key, fingerprint, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (owner_id, route, key) DO UPDATE
            SET fingerprint = excluded.fingerprint,
                status = NULL,
                content_type = NULL,
                body = NULL,
                created_at = excluded.created_at,
                expires_at = excluded.expires_at
            WHERE idempotency_keys.expires_at <= $6
                OR (idempotency_keys.status IS NULL
                    AND idempotency_keys.expires_at < excluded.expires_at - (excluded.created_at - $8::timestamptz)
                    AND idempotency_keys.fingerprint = $5)",
            organization,
            person,
            request.route,
            request.key,
            &request.fingerprint,
            request.now,
            request.expires_at,
            request.abandoned_before,
        )
        .execute(&mut *self.0)
        .await?;
        if at_most_one_row("idempotency_keys", claimed.rows_affected())? {
            return Ok(Claim::Fresh);
        }
        // The row is locked now, although it was not changed: it is still there.
        let known = sqlx::query!(
            "SELECT fingerprint, status, content_type, body
            FROM idempotency_keys
            WHERE owner_id = $1 AND route = $2 AND key = $3",
            request.owner.id(),
            request.route,
            request.key,
        )
        .fetch_one(&mut *self.0)
        .await?;
        if known.fingerprint != request.fingerprint {
            return Ok(Claim::Different);
        }
        let (Some(status), Some(body)) = (known.status, known.body) else {
            return Ok(Claim::Running);
        };
        Ok(Claim::Done(Answer {
            status: Row::new("idempotency_keys", &request.key).number("status", status)?,
            content_type: known.content_type,
            body,
        }))
    }

    /// Shows that a claimed request is still being done, now that its answer would be kept until `expires_at`. Answers whether
    /// the claim still holds.
    pub async fn renew(&mut self, request: &Request, expires_at: Timestamp) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE idempotency_keys
            SET expires_at = $5
            WHERE owner_id = $1 AND route = $2 AND key = $3 AND created_at = $4 AND status IS NULL",
            request.owner.id(),
            request.route,
            request.key,
            request.now,
            expires_at,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("idempotency_keys", done.rows_affected())
    }

    /// Keeps the answer to a claimed request. Fails with [`Error::UnexpectedRows`] when the claim does not hold any more.
    pub async fn finish(&mut self, request: &Request, answer: &Answer) -> Result<(), Error> {
        let status: i16 = Row::new("idempotency_keys", &request.key).number("status", answer.status)?;
        let done = sqlx::query!(
            "UPDATE idempotency_keys
            SET status = $5, content_type = $6, body = $7
            WHERE owner_id = $1 AND route = $2 AND key = $3 AND created_at = $4 AND status IS NULL",
            request.owner.id(),
            request.route,
            request.key,
            request.now,
            status,
            answer.content_type,
            answer.body,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("idempotency_keys", done.rows_affected())
    }

    /// Gives a claimed request up, so that it can be tried again. Answers whether the claim still held, so that nothing can
    /// have come of the request.
    pub async fn release(&mut self, request: &Request) -> Result<bool, Error> {
        let done = sqlx::query!(
            "DELETE FROM idempotency_keys
            WHERE owner_id = $1 AND route = $2 AND key = $3 AND created_at = $4 AND status IS NULL",
            request.owner.id(),
            request.route,
            request.key,
            request.now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("idempotency_keys", done.rows_affected())
    }
}
