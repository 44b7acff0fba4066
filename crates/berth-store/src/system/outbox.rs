//! The outbox, as the relay sees it.

use berth_domain::clock::Timestamp;
use berth_domain::id::{MessageId, OrganizationId};
use berth_domain::work::Work;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, at_most_one_row, rows};
use crate::row::Row;

/// A message that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxMessage {
    /// Its id, which stays the same when it is published twice.
    pub id: MessageId,
    /// The kind of work.
    pub kind: String,
    /// The version of the payload's form.
    pub version: u16,
    /// The organization that it concerns.
    pub organization: Option<OrganizationId>,
    /// What the work needs to know.
    pub payload: serde_json::Value,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Messages of some kinds that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many there are.
    pub messages: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait to be published.
    pub waiting: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
    /// Messages that were set aside.
    pub parked: u64,
}

/// The outbox, inside a transaction.
pub struct Outbox<'t>(pub(crate) &'t mut PgConnection);

impl Outbox<'_> {
    /// Adds a message about work to be done.
    pub async fn add<W: Work>(
        &mut self,
        id: MessageId,
        organization: Option<OrganizationId>,
        work: &W,
        traceparent: Option<&str>,
        created_at: Timestamp,
    ) -> Result<(), Error> {
        crate::outbox::Outbox(&mut *self.0)
            .add(id, organization, work, traceparent, created_at)
            .await
    }

    /// The messages that wait, the oldest first, but for those of the kinds `withheld`; locked until the transaction ends;
    /// another relay gets others. Publish them, then [`Outbox::remove`] them and commit. If anything fails, roll back; they are
    /// found again.
    pub async fn claim(&mut self, limit: u32, withheld: &[String]) -> Result<Vec<OutboxMessage>, Error> {
        let rows = sqlx::query!(
            "SELECT message_id, organization_id, kind, version, payload, traceparent, created_at
            FROM outbox
            WHERE parked_reason IS NULL AND kind <> ALL($2)
            ORDER BY sequence
            LIMIT $1
            FOR UPDATE SKIP LOCKED",
            i64::from(limit),
            withheld,
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.into_iter()
            .map(|stored| {
                let row = Row::new("outbox", stored.message_id);
                Ok(OutboxMessage {
                    id: MessageId::from_uuid(stored.message_id),
                    kind: stored.kind,
                    version: row.number("version", stored.version)?,
                    organization: stored.organization_id.map(OrganizationId::from_uuid),
                    payload: stored.payload,
                    traceparent: stored.traceparent,
                    created_at: stored.created_at,
                })
            })
            .collect()
    }

    /// Removes messages that were published.
    pub async fn remove(&mut self, messages: &[MessageId]) -> Result<(), Error> {
        let ids: Vec<Uuid> = messages.iter().map(|message| message.as_uuid()).collect();
        let done = sqlx::query!(
            "DELETE FROM outbox
            WHERE message_id = ANY($1)",
            &ids,
        )
        .execute(&mut *self.0)
        .await?;
        rows("outbox", ids.len(), done.rows_affected())
    }

    /// Sets a message aside that can never be published, with the reason. Answers whether it was there.
    pub async fn park(&mut self, message: MessageId, reason: &str) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE outbox
            SET parked_reason = $2
            WHERE message_id = $1",
            message.as_uuid(),
            reason,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("outbox", done.rows_affected())
    }

    /// How much of these kinds waits.
    pub async fn waiting(&mut self, kinds: &[String]) -> Result<Waiting, Error> {
        let found = sqlx::query!(
            r#"SELECT count(*) AS "messages!", min(created_at) AS oldest
            FROM outbox
            WHERE parked_reason IS NULL AND kind = ANY($1)"#,
            kinds,
        )
        .fetch_one(&mut *self.0)
        .await?;
        Ok(Waiting {
            messages: Row::new("outbox", "count").number("count", found.messages)?,
            oldest: found.oldest,
        })
    }

    /// How much waits.
    pub async fn backlog(&mut self) -> Result<Backlog, Error> {
        let found = sqlx::query!(
            r#"SELECT
                count(*) FILTER (WHERE parked_reason IS NULL) AS "waiting!",
                min(created_at) FILTER (WHERE parked_reason IS NULL) AS oldest,
                count(*) FILTER (WHERE parked_reason IS NOT NULL) AS "parked!"
            FROM outbox"#
        )
        .fetch_one(&mut *self.0)
        .await?;
        let row = Row::new("outbox", "count");
        Ok(Backlog {
            waiting: row.number("count", found.waiting)?,
            oldest: found.oldest,
            parked: row.number("count", found.parked)?,
        })
    }
}
