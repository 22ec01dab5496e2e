-- What held at a time, as it was believed at a time. A time not given is now, or any time.

-- Whether a memory was believed at `believed_at` to hold at `as_of`. Inlined where it is used.
CREATE FUNCTION held_then(m memories, as_of timestamptz, believed_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN m.believed_from <= COALESCE(believed_at, now())
        AND (m.believed_to IS NULL OR m.believed_to > COALESCE(believed_at, now()))
        AND (as_of IS NULL
             OR m.valid_from <= as_of AND (m.valid_to IS NULL OR m.valid_to > as_of));

-- Whether an interaction was in the log at `believed_at`, counted then, and had occurred by `as_of`.
CREATE FUNCTION counted_then(i interactions, as_of timestamptz, believed_at timestamptz)
    RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
    RETURN i.recorded_at <= COALESCE(believed_at, now())
        AND (as_of IS NULL OR i.occurred_at <= as_of)
        AND NOT EXISTS (
            SELECT FROM retractions r
            WHERE r.tenant_id = i.tenant_id AND r.user_id = i.user_id
                AND r.interaction_id = i.interaction_id
                AND r.retracted_at <= COALESCE(believed_at, now())
                AND (r.restored_at IS NULL OR r.restored_at > COALESCE(believed_at, now())));

REVOKE EXECUTE ON FUNCTION held_then, counted_then FROM PUBLIC;
GRANT EXECUTE ON FUNCTION held_then, counted_then TO memory_client, memory_worker;
