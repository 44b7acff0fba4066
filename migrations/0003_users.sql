-- People. They stand outside organizations, so these tables have no organization_id; their rows are open to the person
-- they belong to. Whoever shares an organization may see name and address, which is why the password stands apart.
CREATE TABLE users (
    user_id uuid NOT NULL,
    email text NOT NULL,
    name text,
    operator boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    CONSTRAINT users_pkey PRIMARY KEY (user_id),
    CONSTRAINT users_email_key UNIQUE (email)
);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY person ON users TO berth_app USING (user_id = berth_person());
CREATE POLICY system ON users TO berth_system USING (true);
-- Only an operator makes operators and disables people.
GRANT SELECT, INSERT (user_id, email, name, created_at), UPDATE (email, name) ON users TO berth_app;
GRANT SELECT, INSERT, UPDATE ON users TO berth_system;
CREATE TRIGGER users_note_change AFTER UPDATE OF operator, disabled_at ON users
    FOR EACH STATEMENT EXECUTE FUNCTION berth_note_change('keys');

CREATE TABLE passwords (
    user_id uuid NOT NULL,
    hash text NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT passwords_pkey PRIMARY KEY (user_id),
    CONSTRAINT passwords_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);

ALTER TABLE passwords ENABLE ROW LEVEL SECURITY;
ALTER TABLE passwords FORCE ROW LEVEL SECURITY;
CREATE POLICY person ON passwords TO berth_app USING (user_id = berth_person());
CREATE POLICY system ON passwords TO berth_system USING (true);
GRANT SELECT, INSERT, UPDATE ON passwords TO berth_app, berth_system;
