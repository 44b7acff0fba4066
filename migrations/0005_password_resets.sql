-- Requests to set a new password. They name an address and not a user: a row is written for an unknown address too, so
-- that the answer tells nobody, by its time either, which addresses have an account.
CREATE TABLE password_resets (
    password_reset_id uuid NOT NULL,
    email text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT password_resets_pkey PRIMARY KEY (password_reset_id),
    CONSTRAINT password_resets_token_hash_key UNIQUE (token_hash),
    CONSTRAINT password_resets_token_hash_check CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX password_resets_expires_at_idx ON password_resets (expires_at);

ALTER TABLE password_resets ENABLE ROW LEVEL SECURITY;
ALTER TABLE password_resets FORCE ROW LEVEL SECURITY;
-- Anybody may ask; reading and using go through a function that demands the token.
CREATE POLICY ask ON password_resets FOR INSERT TO berth_app WITH CHECK (used_at IS NULL);
CREATE POLICY system ON password_resets TO berth_system USING (true);
GRANT INSERT ON password_resets TO berth_app;
GRANT SELECT, INSERT, DELETE ON password_resets TO berth_system;
