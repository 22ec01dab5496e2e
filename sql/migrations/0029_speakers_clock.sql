-- Days count by the clock of whoever spoke.

ALTER TABLE interactions ADD COLUMN utc_offset smallint;
ALTER TABLE interactions ALTER COLUMN utc_offset SET DEFAULT 0;
COMMENT ON COLUMN interactions.utc_offset IS
    'How far the clock of occurred_at is ahead of UTC, in minutes; NULL: recorded before it was kept.';

DROP PROCEDURE append_interaction;
CREATE PROCEDURE append_interaction(
    for_tenant text, for_user text, session text, agent text, private boolean, id text,
    digest bytea, kind text, role text, actor text, content text, payload jsonb, at timestamptz,
    utc_offset int, source text, hash bytea, session_ttl float8, OUT ordinal int, OUT "position" bigint
)
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
DECLARE
    known boolean;
    unusual boolean;
BEGIN
    IF COALESCE(bound_tenant(), for_tenant) <> for_tenant
        OR COALESCE(bound_user(), for_user) <> for_user THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'bound to user %L of tenant %L, asked to append for user %L of tenant %L',
            bound_user(), bound_tenant(), for_user, for_tenant);
    END IF;
    PERFORM set_config('memory.tenant_id', for_tenant, true),
        set_config('memory.user_id', for_user, true);

    -- One statement, since each takes the executor's start and end.
    SELECT EXISTS (SELECT FROM interactions i WHERE i.tenant_id = for_tenant AND i.user_id = for_user
                    AND i.interaction_id = id)
        OR EXISTS (SELECT FROM tombstones t WHERE t.tenant_id = for_tenant AND t.user_id = for_user
                    AND t.id_digest = digest),
        (SELECT s.listed_only AND a.listed_at IS NULL OR a.suspended_at IS NOT NULL
            OR num_nonnulls(a.interactions_a_day, a.bytes_stored) > 0
                AND COALESCE(a.checked_until <= now(), true)
         FROM store_settings s LEFT JOIN tenant_admissions a ON a.tenant_id = for_tenant)
    INTO known, unusual;
    IF known THEN
        RETURN;
    ELSIF unusual THEN
        PERFORM check_append(for_tenant);
    END IF;

    INSERT INTO users AS u (tenant_id, user_id, position, bytes, recorded_at, due_at, backfill)
    VALUES (for_tenant, for_user, 1, interaction_bytes(content, payload), now(), now(), starts_with(source, 'import:'))
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + 1, bytes = u.bytes + excluded.bytes, recorded_at = now(),
            due_at = LEAST(u.due_at, now()),
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
        agent_id, private, kind, role, actor, content, payload, occurred_at, utc_offset, source,
        content_hash)
    VALUES (for_tenant, for_user, session, ordinal, position, id, agent, private, kind, role, actor,
        content, payload, at, utc_offset, source, hash);
END $$;
REVOKE EXECUTE ON PROCEDURE append_interaction FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE append_interaction TO memory_client, memory_worker;
COMMENT ON PROCEDURE append_interaction IS
    'Appends one interaction at the next place of its session and of its user. Both results are '
    'NULL where the id is known or forgotten; the statement log.append says which. It binds '
    'tenant and user to the transaction itself, and refuses where another binding holds; it acts '
    'as the role that calls it, so row-level security covers all it does. In the database because '
    'record() then takes one round trip, and a procedure because a CALL is not planned, which '
    'saves a tenth of what the server does. Everything is looked up by a whole key, so one plan '
    'made without the values serves however the tables grow.';

CALL secure_tables();
