-- What can be called of other organizations tells how it is placed, too. A release that knows the columns before reads those alone.
DROP FUNCTION published_deployments(text);

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
        manifest jsonb,
        retiring boolean,
        quarantine text,
        load_us bigint,
        load_times jsonb
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
            model_versions.manifest,
            deployment_versions.retiring_since IS NOT NULL,
            version_quarantines.reason,
            model_versions.load_us,
            (
                SELECT jsonb_object_agg(version_load_times.node_kind, version_load_times.load_ms)
                FROM version_load_times
                WHERE version_load_times.version_id = model_versions.version_id
            )
        FROM models
        JOIN deployments ON deployments.model_id = models.model_id
        JOIN organizations ON organizations.organization_id = deployments.organization_id
        JOIN projects ON projects.project_id = deployments.project_id
        JOIN deployment_versions ON deployment_versions.deployment_id = deployments.deployment_id
        JOIN model_versions ON model_versions.version_id = deployment_versions.version_id
        LEFT JOIN version_quarantines ON version_quarantines.version_id = model_versions.version_id
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
