-- API keys. The key is what limits and usage hang on; the secrets that open it stand apart, because there are two while the
-- grace period of a rotation runs.
CREATE TABLE api_keys (
    api_key_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    service_account_id uuid,
    title text NOT NULL,
    scopes text[] NOT NULL,
    -- NULL admits every name; an empty list would admit none.
    models text[],
    -- An empty list admits every address.
    addresses cidr[] NOT NULL DEFAULT '{}',
    created_by_user_id uuid,
    created_by_key_id uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (api_key_id),
    CONSTRAINT api_keys_organization_id_api_key_id_key UNIQUE (organization_id, api_key_id),
    CONSTRAINT api_keys_organization_id_project_id_fkey FOREIGN KEY (organization_id, project_id)
        REFERENCES projects (organization_id, project_id),
    CONSTRAINT api_keys_service_account_id_fkey FOREIGN KEY (organization_id, project_id, service_account_id)
        REFERENCES service_accounts (organization_id, project_id, service_account_id),
    CONSTRAINT api_keys_created_by_user_id_fkey FOREIGN KEY (created_by_user_id) REFERENCES users (user_id),
    CONSTRAINT api_keys_created_by_key_id_fkey FOREIGN KEY (organization_id, created_by_key_id)
        REFERENCES api_keys (organization_id, api_key_id),
    CONSTRAINT api_keys_created_by_check CHECK (num_nonnulls(created_by_user_id, created_by_key_id) = 1)
);
CREATE INDEX api_keys_project_id_idx ON api_keys (organization_id, project_id, api_key_id);
CREATE INDEX api_keys_service_account_id_idx ON api_keys (service_account_id) WHERE service_account_id IS NOT NULL;

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON api_keys TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (title, scopes, models, addresses, expires_at, revoked_at) ON api_keys TO berth_app;
-- When a key was last used is noted in batches, over organizations.
GRANT SELECT (api_key_id, last_used_at), UPDATE (last_used_at) ON api_keys TO berth_system;
-- Noting the use of a key is no change to it, hence the list of columns.
CREATE TRIGGER api_keys_note_change
    AFTER INSERT OR DELETE OR UPDATE OF scopes, models, addresses, expires_at, revoked_at ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('keys');

-- The public part finds the secret, the hash (HMAC-SHA-256 under the named pepper) compares it.
CREATE TABLE api_key_secrets (
    public_id text NOT NULL,
    api_key_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    secret_hash bytea NOT NULL,
    pepper_id text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    CONSTRAINT api_key_secrets_pkey PRIMARY KEY (public_id),
    CONSTRAINT api_key_secrets_organization_id_api_key_id_fkey FOREIGN KEY (organization_id, api_key_id)
        REFERENCES api_keys (organization_id, api_key_id) ON DELETE CASCADE,
    CONSTRAINT api_key_secrets_secret_hash_check CHECK (octet_length(secret_hash) = 32)
);
CREATE INDEX api_key_secrets_organization_id_api_key_id_idx ON api_key_secrets (organization_id, api_key_id);

ALTER TABLE api_key_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_key_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_key_secrets TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON api_key_secrets TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (expires_at), DELETE ON api_key_secrets TO berth_app;
-- Secrets that a rotation has ended are swept.
GRANT SELECT (public_id, expires_at), DELETE ON api_key_secrets TO berth_system;
CREATE TRIGGER api_key_secrets_note_change AFTER INSERT OR UPDATE OR DELETE ON api_key_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('keys');
