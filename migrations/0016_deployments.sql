-- Deployments: stable names for versions of one model. The settings (replicas, threads, …) are one document, because they
-- grow with the planner and are never searched.
CREATE TABLE deployments (
    deployment_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    project_id uuid NOT NULL,
    model_id uuid NOT NULL,
    name text NOT NULL,
    settings jsonb NOT NULL,
    created_by_user_id uuid,
    created_by_key_id uuid,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    stopped_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT deployments_pkey PRIMARY KEY (deployment_id),
    CONSTRAINT deployments_organization_id_model_id_deployment_id_key UNIQUE (organization_id, model_id, deployment_id),
    CONSTRAINT deployments_organization_id_project_id_fkey FOREIGN KEY (organization_id, project_id)
        REFERENCES projects (organization_id, project_id),
    CONSTRAINT deployments_organization_id_model_id_fkey FOREIGN KEY (organization_id, model_id)
        REFERENCES models (organization_id, model_id),
    CONSTRAINT deployments_created_by_user_id_fkey FOREIGN KEY (created_by_user_id) REFERENCES users (user_id),
    CONSTRAINT deployments_created_by_key_id_fkey FOREIGN KEY (organization_id, created_by_key_id)
        REFERENCES api_keys (organization_id, api_key_id),
    CONSTRAINT deployments_created_by_check CHECK (num_nonnulls(created_by_user_id, created_by_key_id) = 1)
);
CREATE UNIQUE INDEX deployments_project_id_name_key ON deployments (project_id, name) WHERE deleted_at IS NULL;
CREATE INDEX deployments_organization_id_name_idx ON deployments (organization_id, name) WHERE deleted_at IS NULL;
CREATE INDEX deployments_model_id_idx ON deployments (model_id) WHERE deleted_at IS NULL;

ALTER TABLE deployments ENABLE ROW LEVEL SECURITY;
ALTER TABLE deployments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON deployments TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON deployments FOR SELECT TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (name, settings, updated_at, stopped_at, deleted_at) ON deployments TO berth_app;
GRANT SELECT ON deployments TO berth_system;
CREATE TRIGGER deployments_note_change AFTER INSERT OR UPDATE ON deployments
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('deployments');

-- The versions behind a deployment, by share of the traffic. Weight 0 is held ready for `name@version` alone.
CREATE TABLE deployment_versions (
    deployment_id uuid NOT NULL,
    version_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    model_id uuid NOT NULL,
    weight integer NOT NULL,
    CONSTRAINT deployment_versions_pkey PRIMARY KEY (deployment_id, version_id),
    CONSTRAINT deployment_versions_deployment_id_fkey FOREIGN KEY (organization_id, model_id, deployment_id)
        REFERENCES deployments (organization_id, model_id, deployment_id),
    CONSTRAINT deployment_versions_version_id_fkey FOREIGN KEY (organization_id, model_id, version_id)
        REFERENCES model_versions (organization_id, model_id, version_id),
    CONSTRAINT deployment_versions_weight_check CHECK (weight >= 0)
);
CREATE INDEX deployment_versions_version_id_idx ON deployment_versions (version_id);

ALTER TABLE deployment_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE deployment_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON deployment_versions TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON deployment_versions FOR SELECT TO berth_system USING (true);
GRANT SELECT, INSERT, DELETE ON deployment_versions TO berth_app;
GRANT SELECT ON deployment_versions TO berth_system;
CREATE TRIGGER deployment_versions_note_change AFTER INSERT OR DELETE ON deployment_versions
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('deployments');
