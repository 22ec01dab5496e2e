-- Appending to the log, and whose turn extraction is.

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
COMMENT ON PROCEDURE append_interaction IS
    'Appends one interaction at the next place of its session and of its user. Both results are '
    'NULL where the id is known or forgotten; the statement log.append says which. It binds '
    'tenant and user to the transaction itself, and refuses where another binding holds; it acts '
    'as the role that calls it, so row-level security covers all it does. In the database because '
    'record() then takes one round trip, and a procedure because a CALL is not planned, which '
    'saves a tenth of what the server does. Everything is looked up by a whole key, so one plan '
    'made without the values serves however the tables grow.';

CREATE FUNCTION leasable_at(u users, quiet float8, full_at int) RETURNS timestamptz
    LANGUAGE sql STABLE
AS $$
    SELECT GREATEST(u.due_at, u.leased_until,
        CASE WHEN u.position - u.extracted < full_at
             THEN LEAST(u.recorded_at + make_interval(secs => quiet),
                        u.due_at + make_interval(secs => 5 * quiet)) END)
$$;
COMMENT ON FUNCTION leasable_at IS
    'When extraction may lease a user: due, held by nobody, and quiet for `quiet` seconds; or '
    'with `full_at` interactions waiting; or due for five times as long as it should have been '
    'quiet. In the database because two statements search users by it, and it is inlined into '
    'both.';

CREATE FUNCTION notify_channel() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtextextended(TG_ARGV[0], 0)) THEN
        PERFORM pg_notify(TG_ARGV[0], '');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION notify_channel IS
    'Notifies the trigger''s channel at commit, unless another transaction is just about to: a '
    'commit that notifies keeps every other one that does waiting for its write to disk. Who '
    'listens looks again a little later, for those that left it to another. In the database '
    'because a trigger calls it, whichever way the row was written.';

-- Deferred to the commit, so that a long transaction does not keep others from notifying.
CREATE CONSTRAINT TRIGGER notify_due_on_insert AFTER INSERT ON users
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.due_at IS NOT NULL)
    EXECUTE FUNCTION notify_channel('memory_due');
CREATE CONSTRAINT TRIGGER notify_due_on_update AFTER UPDATE ON users
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.due_at IS NULL AND NEW.due_at IS NOT NULL OR NEW.due_at < OLD.due_at)
    EXECUTE FUNCTION notify_channel('memory_due');

CREATE FUNCTION interaction_counted_at(
    i interactions, as_of timestamptz, believed_at timestamptz
) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
AS $$
    SELECT i.recorded_at <= COALESCE(believed_at, now())
        AND (as_of IS NULL OR i.occurred_at <= as_of)
        AND NOT EXISTS (
            SELECT FROM retractions r
            WHERE r.tenant_id = i.tenant_id AND r.user_id = i.user_id
                AND r.interaction_id = i.interaction_id
                AND r.retracted_at <= COALESCE(believed_at, now())
                AND (r.restored_at IS NULL OR r.restored_at > COALESCE(believed_at, now())))
$$;
REVOKE EXECUTE ON FUNCTION interaction_counted_at FROM PUBLIC;
GRANT EXECUTE ON FUNCTION interaction_counted_at TO memory_client, memory_worker;
COMMENT ON FUNCTION interaction_counted_at IS
    'Whether an interaction was in the log at `believed_at`, counted then, and had occurred by '
    '`as_of`. A time that is not given is now, or any time. In the database because three '
    'statements select by it.';
