-- Tenants. Deleting one is a mark: what concerns money stays, and its name becomes free.
CREATE TABLE organizations (
    organization_id uuid NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    created_at timestamptz NOT NULL,
    suspended_at timestamptz,
    suspended_by text,
    deleted_at timestamptz,
    CONSTRAINT organizations_pkey PRIMARY KEY (organization_id),
    CONSTRAINT organizations_suspended_by_check CHECK (suspended_by IN ('operator', 'owner')),
    CONSTRAINT organizations_suspended_check CHECK ((suspended_at IS NULL) = (suspended_by IS NULL))
);
CREATE UNIQUE INDEX organizations_name_key ON organizations (name) WHERE deleted_at IS NULL;

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON organizations TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (name, title, suspended_at, suspended_by, deleted_at) ON organizations TO berth_app;
GRANT SELECT ON organizations TO berth_system;
CREATE TRIGGER organizations_note_change AFTER UPDATE OF suspended_at, deleted_at ON organizations
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('keys', 'deployments');
