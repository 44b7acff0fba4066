-- The two roles that Berth's processes log in as, and the scopes that row-level security goes by.
--
-- berth_app      serves requests: sees one organization, or one person's own rows, or nothing.
-- berth_system   works across organizations (relay, planner, operators): sees the tables that say so, by policies of its own.
--
-- Neither is a superuser, bypasses row-level security or owns a table. Passwords are set by `berth migrate`, never here.
-- Roles belong to the server, not to the database, so they may be there already; two databases may also be migrated at once.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['berth_app', 'berth_system'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
END
$$;

-- Nobody gets anything by being somebody: every right below is given by name.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO berth_app, berth_system;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Both look up, when they start, whether the schema is as new as they are. The table is the migrator's own: where the
-- files are applied by other means there is none.
DO $$
BEGIN
    IF to_regclass('_sqlx_migrations') IS NOT NULL THEN
        GRANT SELECT ON _sqlx_migrations TO berth_app, berth_system;
    END IF;
END
$$;

-- The organization that the transaction acts in, or NULL. After a transaction that had set it, Postgres leaves an empty
-- text behind rather than nothing. Without a SET clause the function is inlined, so that it can serve as an index condition.
CREATE FUNCTION berth_organization() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('berth.organization_id', true), '')::uuid;

-- The person that the transaction acts for, or NULL.
CREATE FUNCTION berth_person() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('berth.user_id', true), '')::uuid;

REVOKE ALL ON FUNCTION berth_organization(), berth_person() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION berth_organization(), berth_person() TO berth_app, berth_system;
