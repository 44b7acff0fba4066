//! Answers kept for clients that repeat a request under the same `Idempotency-Key`.

use berth_domain::clock::Timestamp;
use berth_domain::id::OrganizationId;
use sqlx::PgConnection;

use crate::error::{Error, at_most_one_row, one_row};
use crate::row::Row;

/// A request that its client may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The route, as the route table writes it.
    pub route: String,
    /// What the client sent as its key.
    pub key: String,
    /// A digest of method, path and body.
    pub fingerprint: [u8; 32],
    /// When it came.
    pub now: Timestamp,
    /// Until when its answer is kept.
    pub expires_at: Timestamp,
    /// A request that came before this moment and has no answer was abandoned by a process that died.
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

/// Kept answers, inside a transaction.
pub struct IdempotencyKeys<'t>(pub(crate) &'t mut PgConnection);

impl IdempotencyKeys<'_> {
    /// Claims a request, or tells what is known about it. When the work happens in the same transaction, a second request
    /// waits here for the first and then finds its answer.
    pub async fn claim(&mut self, organization: OrganizationId, request: &Request) -> Result<Claim, Error> {
        let claimed = sqlx::query!(
            "INSERT INTO idempotency_keys (organization_id, route, key, fingerprint, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (organization_id, route, key) DO UPDATE
            SET fingerprint = excluded.fingerprint,
                status = NULL,
                content_type = NULL,
                body = NULL,
                created_at = excluded.created_at,
                expires_at = excluded.expires_at
            WHERE idempotency_keys.expires_at <= $5
                OR (idempotency_keys.status IS NULL
                    AND idempotency_keys.created_at < $7
                    AND idempotency_keys.fingerprint = $4)",
            organization.as_uuid(),
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
        let known = sqlx::query!(
            "SELECT fingerprint, status, content_type, body
            FROM idempotency_keys
            WHERE organization_id = $1 AND route = $2 AND key = $3",
            organization.as_uuid(),
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

    /// Keeps the answer to a claimed request.
    pub async fn finish(
        &mut self,
        organization: OrganizationId,
        route: &str,
        key: &str,
        answer: &Answer,
    ) -> Result<(), Error> {
        let status: i16 = Row::new("idempotency_keys", key).number("status", answer.status)?;
        let done = sqlx::query!(
            "UPDATE idempotency_keys
            SET status = $4, content_type = $5, body = $6
            WHERE organization_id = $1 AND route = $2 AND key = $3 AND status IS NULL",
            organization.as_uuid(),
            route,
            key,
            status,
            answer.content_type,
            answer.body,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("idempotency_keys", done.rows_affected())
    }

    /// Gives a claimed request up, so that it can be tried again. Answers whether it was claimed and not answered.
    pub async fn release(
        &mut self,
        organization: OrganizationId,
        route: &str,
        key: &str,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "DELETE FROM idempotency_keys
            WHERE organization_id = $1 AND route = $2 AND key = $3 AND status IS NULL",
            organization.as_uuid(),
            route,
            key,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("idempotency_keys", done.rows_affected())
    }
}
