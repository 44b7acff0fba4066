-- Projects of an organization. The second key, over the organization too, is what rows of other tables refer to: with it a
-- row cannot point into another organization, whatever a statement says.
CREATE TABLE projects (
    project_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    cors_origins text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    suspended_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT projects_pkey PRIMARY KEY (project_id),
    CONSTRAINT projects_organization_id_project_id_key UNIQUE (organization_id, project_id),
    CONSTRAINT projects_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id)
);
CREATE UNIQUE INDEX projects_organization_id_name_key ON projects (organization_id, name) WHERE deleted_at IS NULL;
-- A browser asks before it sends a key, so an origin must be found without a project.
CREATE INDEX projects_cors_origins_idx ON projects USING gin (cors_origins) WHERE deleted_at IS NULL;

ALTER TABLE projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE projects FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON projects TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON projects TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (name, title, cors_origins, suspended_at, deleted_at) ON projects TO berth_app;
GRANT SELECT ON projects TO berth_system;
CREATE TRIGGER projects_note_change AFTER UPDATE OF cors_origins, suspended_at, deleted_at ON projects
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('keys', 'deployments');
