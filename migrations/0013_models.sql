-- Models of a project. Publishing to every organization is an operator's act and therefore a column of its own, which only
-- berth_system may write.
CREATE TABLE models (
    model_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    title text,
    description text NOT NULL DEFAULT '',
    license text,
    visibility text NOT NULL,
    published_at timestamptz,
    -- The number of the newest version ever made; numbers of deleted versions are not given again.
    last_number integer NOT NULL DEFAULT 0,
    created_by_user_id uuid,
    created_by_key_id uuid,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT models_pkey PRIMARY KEY (model_id),
    CONSTRAINT models_organization_id_model_id_key UNIQUE (organization_id, model_id),
    CONSTRAINT models_organization_id_project_id_fkey FOREIGN KEY (organization_id, project_id)
        REFERENCES projects (organization_id, project_id),
    CONSTRAINT models_created_by_user_id_fkey FOREIGN KEY (created_by_user_id) REFERENCES users (user_id),
    CONSTRAINT models_created_by_key_id_fkey FOREIGN KEY (organization_id, created_by_key_id)
        REFERENCES api_keys (organization_id, api_key_id),
    CONSTRAINT models_created_by_check CHECK (num_nonnulls(created_by_user_id, created_by_key_id) = 1),
    CONSTRAINT models_visibility_check CHECK (visibility IN ('project', 'organization'))
);
CREATE UNIQUE INDEX models_project_id_name_key ON models (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX models_organization_id_project_id_idx ON models (organization_id, project_id, model_id) WHERE deleted_at IS NULL;
CREATE INDEX models_published_at_idx ON models (model_id) WHERE published_at IS NOT NULL AND deleted_at IS NULL;

ALTER TABLE models ENABLE ROW LEVEL SECURITY;
ALTER TABLE models FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON models TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON models TO berth_system USING (true);
GRANT SELECT,
    INSERT (model_id, organization_id, project_id, name, title, description, license, visibility,
        created_by_user_id, created_by_key_id, created_at),
    UPDATE (name, title, description, license, visibility, last_number, deleted_at)
    ON models TO berth_app;
GRANT SELECT, UPDATE (published_at) ON models TO berth_system;
CREATE TRIGGER models_note_change AFTER UPDATE OF name, visibility, published_at, deleted_at ON models
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('deployments');
