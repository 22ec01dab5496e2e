-- `append_interaction` as a procedure, its body as in 0012. A SELECT from a function is planned anew
-- at each call, under the custom plans that connections ask for; a CALL is not planned at all, which
-- saves a tenth of what the server does for record().
--
-- Both results are NULL where the id is known or forgotten; `log.append` says which.
DROP FUNCTION append_interaction;
CREATE PROCEDURE append_interaction(
    for_tenant text, for_user text, session text, agent text, private boolean, id text,
    digest bytea, kind text, role text, actor text, content text, payload jsonb, at timestamptz,
    source text, hash bytea, session_ttl float8, OUT ordinal int, OUT "position" bigint
)
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
BEGIN
    IF COALESCE(bound_tenant(), for_tenant) <> for_tenant
        OR COALESCE(bound_user(), for_user) <> for_user THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'bound to user %L of tenant %L, asked to append for user %L of tenant %L',
            bound_user(), bound_tenant(), for_user, for_tenant);
    END IF;
    PERFORM set_config('memory.tenant_id', for_tenant, true),
        set_config('memory.user_id', for_user, true);

    IF EXISTS (SELECT FROM interactions i WHERE i.tenant_id = for_tenant AND i.user_id = for_user
                AND i.interaction_id = id)
        OR EXISTS (SELECT FROM tombstones t WHERE t.tenant_id = for_tenant AND t.user_id = for_user
                    AND t.id_digest = digest) THEN
        RETURN;
    END IF;

    INSERT INTO users AS u (tenant_id, user_id, position, recorded_at, due_at, backfill)
    VALUES (for_tenant, for_user, 1, now(), now(), starts_with(source, 'import:'))
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + 1, recorded_at = now(), due_at = LEAST(u.due_at, now()),
            backfill = excluded.backfill AND (u.backfill OR u.due_at IS NULL)
    RETURNING u.position INTO position;

    INSERT INTO sessions AS s (tenant_id, user_id, session_id, agent_id, length, started_at,
        last_at, expires_at)
    VALUES (for_tenant, for_user, session, agent, 1, at, at,
        GREATEST(at, now()) + make_interval(secs => session_ttl))
    ON CONFLICT (tenant_id, user_id, session_id) DO UPDATE
        SET length = s.length + 1,
            started_at = LEAST(s.started_at, excluded.started_at),
            last_at = GREATEST(s.last_at, excluded.last_at),
            expires_at = GREATEST(s.expires_at, excluded.expires_at),
            closed_at = NULL
    RETURNING s.length INTO ordinal;

    INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
        agent_id, private, kind, role, actor, content, payload, occurred_at, source, content_hash)
    VALUES (for_tenant, for_user, session, ordinal, position, id, agent, private, kind, role, actor,
        content, payload, at, source, hash);
END $$;

REVOKE EXECUTE ON PROCEDURE append_interaction FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE append_interaction TO memory_client, memory_worker;
