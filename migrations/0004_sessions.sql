-- A session is the family of refresh tokens that came out of one sign-in: one of them used twice ends the session.
CREATE TABLE sessions (
    session_id uuid NOT NULL,
    user_id uuid NOT NULL,
    client text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text,
    CONSTRAINT sessions_pkey PRIMARY KEY (session_id),
    CONSTRAINT sessions_user_id_session_id_key UNIQUE (user_id, session_id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    CONSTRAINT sessions_end_reason_check CHECK (end_reason IS NULL OR ended_at IS NOT NULL)
);
-- For the sweep of what is long over, by itself or because somebody ended it.
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);
CREATE INDEX sessions_ended_at_idx ON sessions (ended_at) WHERE ended_at IS NOT NULL;

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY person ON sessions TO berth_app USING (user_id = berth_person());
CREATE POLICY system ON sessions TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE ON sessions TO berth_app;
GRANT SELECT, UPDATE, DELETE ON sessions TO berth_system;

-- Tokens are stored as SHA-256. A used one stays until the session is swept: it is how reuse is noticed.
CREATE TABLE refresh_tokens (
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash),
    CONSTRAINT refresh_tokens_user_id_session_id_fkey FOREIGN KEY (user_id, session_id)
        REFERENCES sessions (user_id, session_id) ON DELETE CASCADE,
    CONSTRAINT refresh_tokens_token_hash_check CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX refresh_tokens_user_id_session_id_idx ON refresh_tokens (user_id, session_id);

ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY person ON refresh_tokens TO berth_app USING (user_id = berth_person());
CREATE POLICY system ON refresh_tokens TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE ON refresh_tokens TO berth_app;
GRANT SELECT, DELETE ON refresh_tokens TO berth_system;
