-- Messages that were decided together with a change, waiting for the relay to publish them. A published message leaves the
-- table. Mail to a person belongs to no organization.
CREATE TABLE outbox (
    message_id uuid NOT NULL,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    organization_id uuid,
    kind text NOT NULL,
    version smallint NOT NULL,
    payload jsonb NOT NULL,
    traceparent text,
    created_at timestamptz NOT NULL,
    -- A message that the broker will never take is set aside with the reason, so that it does not hold up the rest.
    parked_reason text,
    CONSTRAINT outbox_pkey PRIMARY KEY (message_id),
    CONSTRAINT outbox_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id),
    CONSTRAINT outbox_version_check CHECK (version > 0)
);
CREATE INDEX outbox_sequence_idx ON outbox (sequence) WHERE parked_reason IS NULL;

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outbox FOR INSERT TO berth_app
    WITH CHECK (organization_id IS NULL OR organization_id = berth_organization());
CREATE POLICY system ON outbox TO berth_system USING (true);
GRANT INSERT (message_id, organization_id, kind, version, payload, traceparent, created_at) ON outbox TO berth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO berth_system;
