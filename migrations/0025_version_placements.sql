-- What serving has shown of versions: how long each takes to load on which kind of node, and which crash again and again.
CREATE TABLE version_load_times (
    version_id uuid NOT NULL,
    node_kind text NOT NULL,
    organization_id uuid NOT NULL,
    load_ms bigint NOT NULL,
    resident_bytes bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    CONSTRAINT version_load_times_pkey PRIMARY KEY (version_id, node_kind),
    CONSTRAINT version_load_times_version_id_fkey FOREIGN KEY (organization_id, version_id)
        REFERENCES model_versions (organization_id, version_id),
    CONSTRAINT version_load_times_measured_check CHECK (load_ms >= 0 AND resident_bytes >= 0)
);

ALTER TABLE version_load_times ENABLE ROW LEVEL SECURITY;
ALTER TABLE version_load_times FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version_load_times FOR SELECT TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON version_load_times TO berth_system USING (true);
CREATE POLICY lookup ON version_load_times FOR SELECT TO CURRENT_USER USING (session_user <> current_user);
GRANT SELECT ON version_load_times TO berth_app;
GRANT SELECT, INSERT, UPDATE (load_ms, resident_bytes, measured_at), DELETE ON version_load_times TO berth_system;

-- A version that is quarantined is loaded nowhere until the row is gone: a deployment of it was changed, or it was released.
CREATE TABLE version_quarantines (
    version_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    reason text NOT NULL,
    crashes integer NOT NULL,
    quarantined_at timestamptz NOT NULL,
    CONSTRAINT version_quarantines_pkey PRIMARY KEY (version_id),
    CONSTRAINT version_quarantines_version_id_fkey FOREIGN KEY (organization_id, version_id)
        REFERENCES model_versions (organization_id, version_id)
);

ALTER TABLE version_quarantines ENABLE ROW LEVEL SECURITY;
ALTER TABLE version_quarantines FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON version_quarantines TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON version_quarantines TO berth_system USING (true);
CREATE POLICY lookup ON version_quarantines FOR SELECT TO CURRENT_USER USING (session_user <> current_user);
GRANT SELECT, DELETE ON version_quarantines TO berth_app;
GRANT SELECT, INSERT, DELETE ON version_quarantines TO berth_system;
CREATE TRIGGER version_quarantines_note_change AFTER INSERT OR DELETE ON version_quarantines
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('deployments');
