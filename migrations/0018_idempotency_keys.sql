-- Answers kept for clients that repeat a request under the same Idempotency-Key. A row without a status is a request that
-- still runs.
CREATE TABLE idempotency_keys (
    organization_id uuid NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint,
    content_type text,
    body bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (organization_id, route, key),
    CONSTRAINT idempotency_keys_organization_id_fkey FOREIGN KEY (organization_id)
        REFERENCES organizations (organization_id),
    CONSTRAINT idempotency_keys_fingerprint_check CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT idempotency_keys_answer_check CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON idempotency_keys TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO berth_app;
GRANT SELECT (organization_id, route, key, expires_at), DELETE ON idempotency_keys TO berth_system;
