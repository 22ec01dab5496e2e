-- lease --
-- Leases the user that has waited longest for extraction, and whom nobody else holds.
-- `quiet`: seconds without a new interaction; one that waited five times as long is taken anyway.
-- unscoped: looks for due users in every tenant
UPDATE users u
SET lease_token = gen_random_uuid(), leased_until = now() + make_interval(secs => %(lease)s)
FROM (
    SELECT tenant_id, user_id FROM users
    WHERE due_at <= now() AND (leased_until IS NULL OR leased_until < now())
        AND (recorded_at IS NULL OR recorded_at <= now() - make_interval(secs => %(quiet)s)
             OR due_at <= now() - make_interval(secs => 5 * %(quiet)s))
        AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
        AND (%(user)s::text IS NULL OR user_id = %(user)s)
    ORDER BY due_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) due
WHERE u.tenant_id = due.tenant_id AND u.user_id = due.user_id
RETURNING u.tenant_id, u.user_id, u.lease_token, u.position, u.due_at, u.forget_seq

-- renew --
-- Keeps a lease for another while; no row where it was lost.
UPDATE users SET leased_until = now() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
RETURNING lease_token

-- release --
-- Gives a user back: done up to `position`, and due again if more came, if someone asked for it
-- since `due`, or after `retry` seconds.
UPDATE users
SET lease_token = NULL, leased_until = NULL, extracted = GREATEST(extracted, %(position)s),
    due_at = CASE WHEN position > %(position)s OR due_at > %(due)s THEN now()
                  WHEN %(retry)s::float8 IS NOT NULL
                      THEN now() + make_interval(secs => %(retry)s) END
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s

-- due_sessions --
-- The user's sessions with interactions that a generation has not seen, oldest first.
SELECT s.session_id, s.length, COALESCE(p.ordinal, 0) AS ordinal,
    COALESCE(p.attempts, 0) AS attempts
FROM sessions s
LEFT JOIN progress p ON p.tenant_id = s.tenant_id AND p.user_id = s.user_id
    AND p.session_id = s.session_id AND p.generation = %(generation)s
WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s
    AND s.length > COALESCE(p.ordinal, 0) AND p.set_aside_at IS NULL
ORDER BY s.started_at, s.session_id

-- advance --
-- Moves a generation's progress in a session; commits with the memories it made.
INSERT INTO progress AS p (tenant_id, user_id, generation, session_id, ordinal)
VALUES (%(tenant)s, %(user)s, %(generation)s, %(session)s, %(ordinal)s)
ON CONFLICT (tenant_id, user_id, generation, session_id)
    DO UPDATE SET ordinal = excluded.ordinal, attempts = 0, error = NULL

-- fail --
-- Counts a generation's failed attempt at a session, or with '' at reading all of the user; sets it
-- aside once `max_attempts` are used up.
INSERT INTO progress AS p (tenant_id, user_id, generation, session_id, attempts, error, set_aside_at)
VALUES (%(tenant)s, %(user)s, %(generation)s, %(session)s, 1, %(error)s,
    CASE WHEN %(max_attempts)s <= 1 THEN now() END)
ON CONFLICT (tenant_id, user_id, generation, session_id)
    DO UPDATE SET attempts = p.attempts + 1, error = excluded.error,
        set_aside_at = CASE WHEN p.attempts + 1 >= %(max_attempts)s THEN now() END
RETURNING attempts, set_aside_at

-- lag --
-- What waits: users due, the oldest of them, interactions not extracted, sessions set aside.
-- unscoped: the operator's view over every tenant; counts only
SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS users_due,
    count(*) AS users,
    COALESCE(sum(position), 0)::bigint AS interactions,
    COALESCE(sum(position - extracted), 0)::bigint AS waiting,
    COALESCE(max(EXTRACT(epoch FROM now() - due_at)) FILTER (WHERE due_at <= now()), 0)::float8
        AS oldest_seconds,
    count(*) FILTER (WHERE leased_until > now()) AS leased
FROM users

-- set_aside --
-- The bound tenant's sessions that extraction gave up on, newest first.
SELECT user_id, session_id, ordinal, attempts, error, set_aside_at FROM progress
WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)
    AND set_aside_at IS NOT NULL
ORDER BY set_aside_at DESC
LIMIT 100
