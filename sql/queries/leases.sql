-- acquire --
-- Leases the user that has waited longest for extraction among those that are due, live or
-- backfill. At most one worker holds a user at a time.
-- unscoped: looks for due users in every tenant
WITH due AS (
    SELECT tenant_id, user_id FROM users u
    WHERE due_at <= now() AND backfill = %(backfill)s
        AND leasable_at(u, %(quiet)s, %(full)s) <= now()
        AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
        AND (%(user)s::text IS NULL OR user_id = %(user)s)
    ORDER BY due_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE users u
SET lease_token = gen_random_uuid(), leased_until = now() + make_interval(secs => %(lease)s),
    abandoned_leases = CASE WHEN u.lease_token IS NULL THEN 0 ELSE u.abandoned_leases + 1 END
FROM due
WHERE u.tenant_id = due.tenant_id AND u.user_id = due.user_id
RETURNING u.tenant_id, u.user_id, u.lease_token, u.position, u.due_at, u.forget_seq, u.abandoned_leases

-- next --
-- Seconds until the first of those who wait longest can be leased; NULL if nobody waits.
-- unscoped: looks for due users in every tenant
SELECT EXTRACT(epoch FROM min(leasable_at(u, %(quiet)s, %(full)s)) - now())::float8 AS seconds
FROM (
    SELECT u FROM users u
    WHERE due_at IS NOT NULL
        AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
        AND (%(user)s::text IS NULL OR user_id = %(user)s)
    ORDER BY backfill, due_at
    LIMIT 1000
) waiting(u)

-- listen --
-- Listens for users that become due.
-- unscoped: touches no table
LISTEN memory_due

-- renew --
-- Extends a lease; no row if it was lost.
UPDATE users SET leased_until = now() + make_interval(secs => %(seconds)s)
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
RETURNING lease_token

-- release --
-- Releases a user, if the lease still holds. The user is extracted up to `position` unless
-- something is left to retry. It is due again if more came, if someone asked for it since `due`,
-- after `retry` seconds, or when the first failed session may be retried.
UPDATE users u
SET lease_token = NULL, leased_until = NULL,
    extracted = CASE WHEN f.behind OR %(retry)s::float8 IS NOT NULL THEN extracted
                     ELSE GREATEST(extracted, %(position)s) END,
    due_at = CASE WHEN position > %(position)s OR due_at > %(due)s THEN now()
                  ELSE LEAST(now() + make_interval(secs => %(retry)s), f.retry_at) END
FROM (
    -- What was not tried although it was time (not here, or not yet) is left for the next lease.
    SELECT GREATEST(min(p.retry_at), CASE WHEN min(p.retry_at) IS NOT NULL
            THEN now() + make_interval(secs => %(least)s) END) AS retry_at,
        COALESCE(bool_or(g.state = 'live'), false) AS behind
    FROM session_progress p JOIN generations g ON g.generation = p.generation AND g.followed
    WHERE p.tenant_id = %(tenant)s AND p.user_id = %(user)s AND p.retry_at IS NOT NULL
) f
WHERE u.tenant_id = %(tenant)s AND u.user_id = %(user)s AND u.lease_token = %(lease)s

-- due_sessions --
-- The user's sessions with interactions that a generation has not seen, without those that failed
-- and wait or were set aside; after them '' if reading the whole user failed. They come in the
-- order in which the log learned of their first unseen interaction, so beliefs change in that
-- order.
SELECT s.session_id, s.length, COALESCE(p.ordinal, 0) AS ordinal,
    COALESCE(p.reread_through, 0) AS reread_through, p.reread_at,
    COALESCE(p.crash_count, 0) AS crash_count, COALESCE((
    SELECT i.position FROM interactions i
    WHERE i.tenant_id = s.tenant_id AND i.user_id = s.user_id AND i.session_id = s.session_id
        AND i.ordinal > COALESCE(p.ordinal, 0)
    ORDER BY i.ordinal LIMIT 1), 0) AS first_position
FROM sessions s
LEFT JOIN session_progress p ON p.tenant_id = s.tenant_id AND p.user_id = s.user_id
    AND p.session_id = s.session_id AND p.generation = %(generation)s
WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s
    AND s.length > COALESCE(p.ordinal, 0) AND p.set_aside_at IS NULL
    AND (p.retry_at IS NULL OR p.retry_at <= now())
UNION ALL
SELECT session_id, 0, 0, 0, NULL, crash_count, NULL FROM session_progress
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND session_id = ''
ORDER BY first_position, session_id

-- advance --
-- Moves a generation's progress in a session; commits with the memories it made.
INSERT INTO session_progress AS p (tenant_id, user_id, generation, session_id, ordinal)
VALUES (%(tenant)s, %(user)s, %(generation)s, %(session)s, %(ordinal)s)
ON CONFLICT (tenant_id, user_id, generation, session_id)
    DO UPDATE SET ordinal = excluded.ordinal, attempts = 0, crash_count = 0, error = NULL,
        retry_at = NULL

-- reread_at --
-- When a retraction or restoration last made a generation read something of the user again.
SELECT max(reread_at) AS reread_at FROM session_progress
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s

-- fail --
-- Counts a generation's failed attempt at a session, or with '' at reading the whole user, if the
-- lease still holds. The next attempt follows after a wait that doubles each time; after
-- `max_attempts` there is none. A second failure before that wait is over counts once. No row: the
-- lease was lost.
WITH held AS (
    SELECT FROM users
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
    FOR NO KEY UPDATE
)
INSERT INTO session_progress AS p (tenant_id, user_id, generation, session_id, attempts, error,
    set_aside_at, retry_at)
SELECT %(tenant)s, %(user)s, %(generation)s, %(session)s, 1, %(error)s,
    CASE WHEN %(max_attempts)s <= 1 THEN now() END,
    CASE WHEN %(max_attempts)s > 1 THEN now() + make_interval(secs => %(first)s) END
FROM held
ON CONFLICT (tenant_id, user_id, generation, session_id) DO UPDATE
    SET attempts = p.attempts + CASE WHEN p.retry_at > now() THEN 0 ELSE 1 END,
        crash_count = 0, error = excluded.error,
        set_aside_at = CASE
            WHEN p.retry_at > now() THEN NULL
            WHEN p.attempts + 1 >= %(max_attempts)s THEN COALESCE(p.set_aside_at, now()) END,
        retry_at = CASE
            WHEN p.retry_at > now() THEN p.retry_at
            WHEN p.attempts + 1 < %(max_attempts)s
                THEN now() + make_interval(secs => LEAST(%(longest)s, %(first)s * 2.0 ^ p.attempts))
            END
RETURNING EXTRACT(epoch FROM retry_at - now())::float8 AS retry

-- begin --
-- Notes that work on a session, or with '' on the whole user, begins after a lease that was never
-- released, if the lease still holds. After `max_attempts` such beginnings without an end it is set
-- aside, with `error`, instead. No row: the lease was lost.
WITH held AS (
    SELECT FROM users
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
    FOR NO KEY UPDATE
)
INSERT INTO session_progress AS p (tenant_id, user_id, generation, session_id, crash_count)
SELECT %(tenant)s, %(user)s, %(generation)s, %(session)s, 1
FROM held
ON CONFLICT (tenant_id, user_id, generation, session_id) DO UPDATE
    SET crash_count = LEAST(p.crash_count, %(max_attempts)s) + 1,
        attempts = CASE WHEN p.crash_count < %(max_attempts)s THEN p.attempts ELSE %(max_attempts)s END,
        error = CASE WHEN p.crash_count < %(max_attempts)s THEN p.error ELSE %(error)s END,
        retry_at = CASE WHEN p.crash_count < %(max_attempts)s THEN p.retry_at END,
        set_aside_at = CASE WHEN p.crash_count < %(max_attempts)s THEN p.set_aside_at
                            ELSE COALESCE(p.set_aside_at, now()) END
RETURNING crash_count <= %(max_attempts)s AS begun

-- defer --
-- Postpones a session for a generation by `seconds`, without counting an attempt, if the lease
-- still holds. No row: the lease was lost.
WITH held AS (
    SELECT FROM users
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
    FOR NO KEY UPDATE
)
INSERT INTO session_progress AS p (tenant_id, user_id, generation, session_id, error, retry_at)
SELECT %(tenant)s, %(user)s, %(generation)s, %(session)s, %(error)s,
    now() + make_interval(secs => %(seconds)s)
FROM held
ON CONFLICT (tenant_id, user_id, generation, session_id)
    DO UPDATE SET crash_count = 0, error = excluded.error, retry_at = excluded.retry_at
RETURNING session_id

-- recover --
-- Deletes the note that reading the whole user failed for a generation, if the lease still holds.
WITH held AS (
    SELECT FROM users
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
    FOR NO KEY UPDATE
)
DELETE FROM session_progress p USING held
WHERE p.tenant_id = %(tenant)s AND p.user_id = %(user)s AND p.generation = %(generation)s
    AND p.session_id = ''

-- retry_set_aside --
-- Makes sessions due that were set aside or wait for a budget, of one user or of all of the bound
-- tenant; a row for each session.
WITH taken AS (
    UPDATE session_progress
    SET attempts = 0, crash_count = 0, error = NULL, set_aside_at = NULL, retry_at = NULL
    WHERE tenant_id = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
        AND (set_aside_at IS NOT NULL OR starts_with(error, 'BudgetSpent:'))
    RETURNING user_id, session_id
), due AS (
    UPDATE users u SET due_at = now()
    WHERE u.tenant_id = %(tenant)s AND u.user_id IN (SELECT user_id FROM taken)
)
SELECT user_id, session_id FROM taken ORDER BY user_id, session_id

-- lag --
-- What waits, live and in backfill: users due, the longest wait, interactions not extracted; and
-- users that are leased, also by expired leases.
-- unscoped: the operator's view over every tenant; counts only
SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS users_due,
    count(*) FILTER (WHERE due_at IS NOT NULL AND backfill) AS backfill_users,
    count(*) AS users,
    COALESCE(sum(position), 0)::bigint AS interactions,
    COALESCE(sum(position - extracted), 0)::bigint AS waiting,
    COALESCE(sum(position - extracted) FILTER (WHERE due_at IS NOT NULL AND backfill), 0)::bigint
        AS backfill_waiting,
    COALESCE(max(EXTRACT(epoch FROM now() - due_at)) FILTER (WHERE due_at <= now()
        AND NOT backfill), 0)::float8 AS oldest_seconds,
    COALESCE(max(EXTRACT(epoch FROM now() - due_at)) FILTER (WHERE due_at <= now()
        AND backfill), 0)::float8 AS backfill_seconds,
    count(*) FILTER (WHERE leased_until > now()) AS leased,
    count(*) FILTER (WHERE leased_until <= now()) AS leases_expired
FROM users

-- set_aside --
-- The bound tenant's sessions that were set aside, newest first, and how many there are.
SELECT user_id, session_id, ordinal, attempts, error, set_aside_at, count(*) OVER () AS total
FROM session_progress
WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)
    AND set_aside_at IS NOT NULL
ORDER BY set_aside_at DESC
LIMIT 100
