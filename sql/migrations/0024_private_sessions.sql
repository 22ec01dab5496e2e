-- What one agent keeps to itself is not there for another, whichever verb names it.

CREATE FUNCTION session_seen_by(for_tenant text, for_user text, session text, agent text)
RETURNS boolean
    LANGUAGE sql STABLE
AS $$
    SELECT COALESCE((
        SELECT NOT i.private OR i.agent_id IS NOT DISTINCT FROM agent
        FROM memory.interactions i
        WHERE i.tenant_id = for_tenant AND i.user_id = for_user AND i.session_id = session
        ORDER BY i.ordinal
        LIMIT 1
    ), true)
$$;
REVOKE EXECUTE ON FUNCTION session_seen_by FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_seen_by TO memory_client, memory_worker;
COMMENT ON FUNCTION session_seen_by IS
    'Whether an agent sees the task state of a session: not where the session begins with what is '
    'private to another agent. In the database because four statements ask it.';
