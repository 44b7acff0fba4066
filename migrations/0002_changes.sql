-- Counters that tell every node when what it has cached may be stale. A node reads them every half second beside the push
-- that it gets through coordination, so that a lost push costs half a second and not correctness.
CREATE TABLE changes (
    topic text NOT NULL,
    value bigint NOT NULL DEFAULT 0,
    CONSTRAINT changes_pkey PRIMARY KEY (topic),
    CONSTRAINT changes_topic_check CHECK (topic IN ('keys', 'deployments'))
) WITH (fillfactor = 50);

INSERT INTO changes (topic) VALUES ('keys'), ('deployments');

GRANT SELECT ON changes TO berth_app, berth_system;

-- Moves the counter of a topic on, at most once a transaction, and answers its value. The row stays locked until commit:
-- a reader that sees the new value also sees what changed, which a sequence could not promise.
CREATE FUNCTION berth_changed(changed_topic text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    mark CONSTANT text := 'berth.changed_' || changed_topic;
    current_value bigint;
BEGIN
    IF current_setting(mark, true) = 'yes' THEN
        SELECT value INTO STRICT current_value FROM changes WHERE topic = changed_topic;
    ELSE
        UPDATE changes SET value = value + 1 WHERE topic = changed_topic RETURNING value INTO STRICT current_value;
        PERFORM set_config(mark, 'yes', true);
    END IF;
    RETURN current_value;
END
$$;

REVOKE ALL ON FUNCTION berth_changed(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION berth_changed(text) TO berth_app, berth_system;

-- The trigger that notes a change under each topic it is given.
CREATE FUNCTION berth_note_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    FOR place IN 0 .. TG_NARGS - 1 LOOP
        PERFORM berth_changed(TG_ARGV[place]);
    END LOOP;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION berth_note_change() FROM PUBLIC;
