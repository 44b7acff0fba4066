-- Who makes an organization repeats a request before there is a tenant to keep its answer with: an answer is kept either
-- with an organization or with a person. One column stands for both, so that a key is looked up in one way.
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys ALTER COLUMN organization_id DROP NOT NULL;
ALTER TABLE idempotency_keys ADD COLUMN user_id uuid;
ALTER TABLE idempotency_keys
    ADD COLUMN owner_id uuid GENERATED ALWAYS AS (COALESCE(organization_id, user_id)) STORED;
ALTER TABLE idempotency_keys
    ADD CONSTRAINT idempotency_keys_owner_check CHECK (num_nonnulls(organization_id, user_id) = 1),
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (owner_id, route, key),
    ADD CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE;
-- Nothing has used the table so far: it is empty, and an index on it is made at once.
CREATE INDEX idempotency_keys_user_id_idx ON idempotency_keys (user_id);

CREATE POLICY person ON idempotency_keys TO berth_app USING (user_id = berth_person());
-- By column: whose a kept answer is, and to which key it belongs, never changes.
REVOKE INSERT, UPDATE ON idempotency_keys FROM berth_app;
GRANT INSERT (organization_id, user_id, route, key, fingerprint, created_at, expires_at) ON idempotency_keys TO berth_app;
GRANT UPDATE (fingerprint, status, content_type, body, created_at, expires_at) ON idempotency_keys TO berth_app;
GRANT SELECT (owner_id) ON idempotency_keys TO berth_system;
