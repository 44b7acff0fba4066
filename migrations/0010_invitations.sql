-- Invitations into an organization or one of its projects, sent to an address; the token is stored as SHA-256.
CREATE TABLE invitations (
    invitation_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    project_id uuid,
    email text NOT NULL,
    role text,
    role_id uuid,
    token_hash bytea NOT NULL,
    invited_by uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT invitations_pkey PRIMARY KEY (invitation_id),
    CONSTRAINT invitations_token_hash_key UNIQUE (token_hash),
    CONSTRAINT invitations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (organization_id),
    CONSTRAINT invitations_organization_id_project_id_fkey FOREIGN KEY (organization_id, project_id)
        REFERENCES projects (organization_id, project_id),
    CONSTRAINT invitations_organization_id_role_id_fkey FOREIGN KEY (organization_id, role_id)
        REFERENCES roles (organization_id, role_id) ON DELETE CASCADE,
    CONSTRAINT invitations_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES users (user_id),
    CONSTRAINT invitations_role_check CHECK (role IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    CONSTRAINT invitations_one_role_check CHECK (num_nonnulls(role, role_id) = 1),
    CONSTRAINT invitations_token_hash_check CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX invitations_organization_id_idx ON invitations (organization_id, invitation_id);
CREATE INDEX invitations_organization_id_project_id_idx ON invitations (organization_id, project_id);
CREATE INDEX invitations_organization_id_role_id_idx ON invitations (organization_id, role_id);
CREATE INDEX invitations_expires_at_idx ON invitations (expires_at);

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations TO berth_app USING (organization_id = berth_organization());
CREATE POLICY system ON invitations TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE (accepted_at, revoked_at) ON invitations TO berth_app;
GRANT SELECT, DELETE ON invitations TO berth_system;
