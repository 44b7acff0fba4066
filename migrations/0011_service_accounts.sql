-- Programs as members of a project: what a key belongs to when it is not a person's.
CREATE TABLE service_accounts (
    service_account_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT service_accounts_pkey PRIMARY KEY (service_account_id),
    CONSTRAINT service_accounts_organization_id_project_id_id_key
        UNIQUE (organization_id, project_id, service_account_id),
    CONSTRAINT service_accounts_organization_id_project_id_fkey FOREIGN KEY (organization_id, project_id)
        REFERENCES projects (organization_id, project_id)
);
CREATE UNIQUE INDEX service_accounts_project_id_name_key ON service_accounts (project_id, name) WHERE deleted_at IS NULL;

ALTER TABLE service_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE service_accounts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON service_accounts TO berth_app USING (organization_id = berth_organization());
GRANT SELECT, INSERT, UPDATE (name, title, disabled_at, deleted_at) ON service_accounts TO berth_app;
CREATE TRIGGER service_accounts_note_change AFTER UPDATE OF disabled_at, deleted_at ON service_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('keys');
