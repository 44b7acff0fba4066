-- Versions of a model: immutable, but for what the runner's proof found out. A deleted one keeps its row (usage refers to
-- its digest) and loses its files.
CREATE TABLE model_versions (
    version_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    model_id uuid NOT NULL,
    number integer NOT NULL,
    folder_digest bytea NOT NULL,
    state text NOT NULL,
    reason text,
    warnings text[] NOT NULL DEFAULT '{}',
    manifest jsonb NOT NULL,
    graphs jsonb NOT NULL,
    size_bytes bigint NOT NULL,
    resident_bytes bigint,
    load_us bigint,
    run_us bigint,
    created_by_user_id uuid,
    created_by_key_id uuid,
    created_at timestamptz NOT NULL,
    -- When its check was last queued: one whose message was lost is queued again.
    announced_at timestamptz NOT NULL,
    -- Tries to prove it that ended without a verdict, as [{"worker": …, "end": …}]: only so many are put up with, whoever tries.
    fruitless_proofs jsonb NOT NULL DEFAULT '[]',
    checked_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT model_versions_pkey PRIMARY KEY (version_id),
    CONSTRAINT model_versions_organization_id_version_id_key UNIQUE (organization_id, version_id),
    CONSTRAINT model_versions_organization_id_model_id_version_id_key UNIQUE (organization_id, model_id, version_id),
    CONSTRAINT model_versions_model_id_number_key UNIQUE (model_id, number),
    CONSTRAINT model_versions_organization_id_model_id_fkey FOREIGN KEY (organization_id, model_id)
        REFERENCES models (organization_id, model_id),
    CONSTRAINT model_versions_created_by_user_id_fkey FOREIGN KEY (created_by_user_id) REFERENCES users (user_id),
    CONSTRAINT model_versions_created_by_key_id_fkey FOREIGN KEY (organization_id, created_by_key_id)
        REFERENCES api_keys (organization_id, api_key_id),
    CONSTRAINT model_versions_created_by_check CHECK (num_nonnulls(created_by_user_id, created_by_key_id) = 1),
    CONSTRAINT model_versions_folder_digest_check CHECK (octet_length(folder_digest) = 32),
    CONSTRAINT model_versions_state_check CHECK (state IN ('checking', 'ready', 'failed')),
    CONSTRAINT model_versions_reason_check CHECK ((state = 'failed') = (reason IS NOT NULL)),
    CONSTRAINT model_versions_checked_check CHECK ((state = 'checking') = (checked_at IS NULL)),
    CONSTRAINT model_versions_measured_check
        CHECK (state <> 'ready' OR num_nonnulls(resident_bytes, load_us, run_us) = 3)
);

-- For the search for checks that were lost.
CREATE INDEX model_versions_announced_at_idx ON model_versions (announced_at) WHERE state = 'checking' AND deleted_at IS NULL;

ALTER TABLE model_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON model_versions TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON model_versions TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (deleted_at) ON model_versions TO berth_app;
-- What a proof found is written by the process that had it made, never by a request.
GRANT SELECT,
    UPDATE (state, reason, warnings, resident_bytes, load_us, run_us, announced_at, fruitless_proofs, checked_at)
    ON model_versions TO berth_system;
-- No trigger notes a change: a version that is deployed is ready and not deleted, and stays so.
