-- Deployments of models that an operator has published: the one thing of another organization that a tenant may see, so it
-- has a function instead of a hole in every policy.
CREATE POLICY lookup ON models FOR SELECT TO CURRENT_USER USING (session_user <> current_user);
CREATE POLICY lookup ON model_versions FOR SELECT TO CURRENT_USER USING (session_user <> current_user);
CREATE POLICY lookup ON deployments FOR SELECT TO CURRENT_USER USING (session_user <> current_user);
CREATE POLICY lookup ON deployment_versions FOR SELECT TO CURRENT_USER USING (session_user <> current_user);

CREATE FUNCTION published_deployments(wanted_name text)
    RETURNS TABLE (
        organization_id uuid,
        organization_name text,
        project_id uuid,
        deployment_id uuid,
        name text,
        created_at timestamptz,
        model_id uuid,
        version_id uuid,
        number integer,
        weight integer,
        folder_digest bytea,
        manifest jsonb
    )
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT
            deployments.organization_id,
            organizations.name,
            deployments.project_id,
            deployments.deployment_id,
            deployments.name,
            deployments.created_at,
            deployments.model_id,
            model_versions.version_id,
            model_versions.number,
            deployment_versions.weight,
            model_versions.folder_digest,
            model_versions.manifest
        FROM models
        JOIN deployments ON deployments.model_id = models.model_id
        JOIN organizations ON organizations.organization_id = deployments.organization_id
        JOIN projects ON projects.project_id = deployments.project_id
        JOIN deployment_versions ON deployment_versions.deployment_id = deployments.deployment_id
        JOIN model_versions ON model_versions.version_id = deployment_versions.version_id
        WHERE models.published_at IS NOT NULL
            AND models.deleted_at IS NULL
            AND deployments.deleted_at IS NULL
            AND deployments.stopped_at IS NULL
            AND (wanted_name IS NULL OR deployments.name = wanted_name)
            AND organizations.suspended_at IS NULL
            AND organizations.deleted_at IS NULL
            AND projects.suspended_at IS NULL
            AND projects.deleted_at IS NULL
            AND model_versions.state = 'ready'
            AND model_versions.deleted_at IS NULL;
END
$$;

REVOKE ALL ON FUNCTION published_deployments(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION published_deployments(text) TO berth_app;
