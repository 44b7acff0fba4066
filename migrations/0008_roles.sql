-- Roles that an organization makes for itself, out of the same permissions as the built-in ones.
CREATE TABLE roles (
    role_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    permissions text[] NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT roles_pkey PRIMARY KEY (role_id),
    CONSTRAINT roles_organization_id_role_id_key UNIQUE (organization_id, role_id),
    CONSTRAINT roles_organization_id_name_key UNIQUE (organization_id, name),
    CONSTRAINT roles_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id)
);

ALTER TABLE roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON roles TO berth_app USING (organization_id = berth_organization());
GRANT SELECT, INSERT, UPDATE (name, title, permissions), DELETE ON roles TO berth_app;
