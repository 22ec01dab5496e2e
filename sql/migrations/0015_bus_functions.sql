-- Forgetting what came over the bus and could not be applied.

CREATE FUNCTION forget_dead_letters(session text, ids text[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM dead_letters d
        WHERE d.tenant_id = bound_tenant() AND d.user_id = bound_user()
            AND (forget_dead_letters.session IS NULL AND forget_dead_letters.ids IS NULL
                OR d.session_id = forget_dead_letters.session
                OR d.interaction_id = ANY(forget_dead_letters.ids))
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
REVOKE EXECUTE ON FUNCTION forget_dead_letters FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_dead_letters TO memory_client, memory_worker;
GRANT CREATE ON SCHEMA memory TO memory_worker;
ALTER FUNCTION forget_dead_letters OWNER TO memory_worker;
REVOKE CREATE ON SCHEMA memory FROM memory_worker;
COMMENT ON FUNCTION forget_dead_letters IS
    'Removes what is known to be the bound user''s from the dead letters, in the caller''s '
    'transaction: everything, or what belongs to a session or to given interactions. In the '
    'database because a client may not read dead letters; it runs as the worker.';
