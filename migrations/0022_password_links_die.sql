-- A link to set a password must not outlive a change of that password: whoever saw an older link, or still has one in an old
-- mail, could undo what the owner did. So a link works only while the password is none that was set after the link was made,
-- and using one uses up all others of the same address.
--
-- The open requests of the address and the password are locked first, so that of two links that are used at the same time
-- the second one sees what the first did: each statement of a volatile function sees what was committed before it.
CREATE OR REPLACE FUNCTION consume_password_reset(wanted_token_hash bytea, consumed_at timestamptz, new_hash text)
    RETURNS uuid
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    found_user_id uuid;
    found_email text;
BEGIN
    SELECT users.user_id, users.email INTO found_user_id, found_email
    FROM password_resets
    JOIN users ON users.email = password_resets.email
    WHERE password_resets.token_hash = wanted_token_hash
        AND users.disabled_at IS NULL;

    IF found_user_id IS NULL THEN
        RETURN NULL;
    END IF;

    PERFORM FROM password_resets
    WHERE password_resets.email = found_email AND password_resets.used_at IS NULL
    ORDER BY password_resets.password_reset_id
    FOR UPDATE;

    PERFORM FROM passwords WHERE passwords.user_id = found_user_id FOR UPDATE;

    UPDATE password_resets
    SET used_at = consumed_at
    WHERE password_resets.token_hash = wanted_token_hash
        AND password_resets.used_at IS NULL
        AND password_resets.expires_at > consumed_at
        AND NOT EXISTS (
            SELECT FROM passwords
            WHERE passwords.user_id = found_user_id AND passwords.changed_at > password_resets.created_at
        );

    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    UPDATE password_resets
    SET used_at = consumed_at
    WHERE password_resets.email = found_email AND password_resets.used_at IS NULL;

    INSERT INTO passwords (user_id, hash, changed_at)
    VALUES (found_user_id, new_hash, consumed_at)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at;

    UPDATE sessions
    SET ended_at = consumed_at, end_reason = 'password_reset'
    WHERE user_id = found_user_id AND ended_at IS NULL;

    RETURN found_user_id;
END
$$;

CREATE INDEX password_resets_email_idx ON password_resets (email) WHERE used_at IS NULL;
