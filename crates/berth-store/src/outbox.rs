//! Messages that are decided together with a change. The relay publishes them ([`crate::system::outbox`]).

use berth_domain::clock::Timestamp;
use berth_domain::id::{MessageId, OrganizationId};
use berth_domain::work::Work;
use sqlx::PgConnection;

use crate::error::{Error, one_row};
use crate::row::Row;

/// The outbox, inside a transaction.
pub struct Outbox<'t>(pub(crate) &'t mut PgConnection);

impl Outbox<'_> {
    /// Adds a message about work to be done, in the scope of `organization`; work that concerns none can be added in any
    /// scope.
    pub async fn add<W: Work>(
        &mut self,
        id: MessageId,
        organization: Option<OrganizationId>,
        work: &W,
        traceparent: Option<&str>,
        created_at: Timestamp,
    ) -> Result<(), Error> {
        let row = Row::new("outbox", id);
        let payload = serde_json::to_value(work).map_err(|error| row.inconsistent("payload", error))?;
        let version: i16 = row.number("version", W::VERSION)?;
        let done = sqlx::query!(
            "INSERT INTO outbox (message_id, organization_id, kind, version, payload, traceparent, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)",
            id.as_uuid(),
            organization.map(OrganizationId::as_uuid),
            W::KIND,
            version,
            payload,
            traceparent,
            created_at,
        )
        .execute(&mut *self.0)
        .await?;
        one_row("outbox", done.rows_affected())
    }
}
