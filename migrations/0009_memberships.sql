-- Who belongs to an organization, or to one of its projects, in which role: a built-in one by its name or one of the
-- organization's own.
CREATE TABLE memberships (
    membership_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    project_id uuid,
    user_id uuid NOT NULL,
    role text,
    role_id uuid,
    created_at timestamptz NOT NULL,
    CONSTRAINT memberships_pkey PRIMARY KEY (membership_id),
    CONSTRAINT memberships_organization_id_project_id_user_id_key
        UNIQUE NULLS NOT DISTINCT (organization_id, project_id, user_id),
    CONSTRAINT memberships_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id),
    CONSTRAINT memberships_organization_id_project_id_fkey FOREIGN KEY (organization_id, project_id)
        REFERENCES projects (organization_id, project_id),
    CONSTRAINT memberships_organization_id_role_id_fkey FOREIGN KEY (organization_id, role_id)
        REFERENCES roles (organization_id, role_id),
    CONSTRAINT memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id),
    CONSTRAINT memberships_role_check CHECK (role IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    CONSTRAINT memberships_one_role_check CHECK (num_nonnulls(role, role_id) = 1)
);
CREATE INDEX memberships_user_id_idx ON memberships (user_id);
CREATE INDEX memberships_organization_id_role_id_idx ON memberships (organization_id, role_id);

ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
ALTER TABLE memberships FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON memberships TO berth_app USING (organization_id = berth_organization());
-- A person sees where they belong before they choose an organization.
CREATE POLICY person ON memberships FOR SELECT TO berth_app USING (user_id = berth_person());
CREATE POLICY system ON memberships FOR SELECT TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (role, role_id), DELETE ON memberships TO berth_app;
GRANT SELECT ON memberships TO berth_system;

CREATE POLICY person ON organizations FOR SELECT TO berth_app USING (
    EXISTS (
        SELECT FROM memberships
        WHERE memberships.organization_id = organizations.organization_id
            AND memberships.user_id = berth_person()
    )
);

-- Members of the organization are seen by name and address.
CREATE POLICY tenant ON users FOR SELECT TO berth_app USING (
    EXISTS (
        SELECT FROM memberships
        WHERE memberships.user_id = users.user_id
            AND memberships.organization_id = berth_organization()
    )
);
