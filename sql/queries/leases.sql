-- acquire --
-- Leases a due user, live or backfill. The tenants take turns, the one after `after` first; of each,
-- the user that has waited longest. A tenant that is suspended or paused, or has had its share, is
-- passed over, and so are those in `passed_over`.
-- At most one worker holds a user at a time. `paid`: a throttled tenant pays for all that the user
-- has waiting. The first of `turns` is where the last round ended, and has its turn at the end of
-- this one, unless it is the only tenant asked for.
-- unscoped: looks for due users in every tenant
WITH RECURSIVE turns(tenant_id, round) AS (
    SELECT COALESCE(%(tenant)s::text, %(after)s::text), 0
    UNION ALL
    SELECT COALESCE(n.tenant_id, ''), CASE WHEN n.tenant_id IS NULL THEN t.round + 1 ELSE t.round END
    FROM turns t
    LEFT JOIN LATERAL (
        SELECT u.tenant_id FROM users u
        WHERE u.due_at IS NOT NULL AND u.backfill = %(backfill)s AND u.tenant_id > t.tenant_id
        ORDER BY u.tenant_id LIMIT 1
    ) n ON true
    WHERE %(tenant)s::text IS NULL AND (t.round = 0 OR t.round = 1 AND t.tenant_id < %(after)s)
), due AS (
    SELECT w.tenant_id, w.user_id
    FROM turns t
    CROSS JOIN LATERAL (
        SELECT u.tenant_id, u.user_id FROM users u
        WHERE u.tenant_id = t.tenant_id AND due_at <= now() AND backfill = %(backfill)s
            AND leasable_at(u, %(quiet)s, %(full)s) <= now()
            AND (%(user)s::text IS NULL OR user_id = %(user)s)
        ORDER BY due_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) w
    WHERE (%(tenant)s::text IS NOT NULL OR t.round > 0 OR t.tenant_id > %(after)s)
        AND t.tenant_id <> ALL(%(passed_over)s::text[])
        -- A subquery, so that the tenants are asked one by one until one has a user.
        AND (SELECT l.paused_at IS NULL AND l.free_at <= now() FROM extraction_limits l
             WHERE l.tenant_id = t.tenant_id) IS NOT FALSE
        AND (SELECT a.suspended_at FROM tenant_admissions a WHERE a.tenant_id = t.tenant_id) IS NULL
    LIMIT 1
), leased AS (
    UPDATE users u
    SET lease_token = gen_random_uuid(), leased_until = now() + make_interval(secs => %(lease)s),
        abandoned_leases = CASE WHEN u.lease_token IS NULL THEN 0 ELSE u.abandoned_leases + 1 END
    FROM due
    WHERE u.tenant_id = due.tenant_id AND u.user_id = due.user_id
    RETURNING u.tenant_id, u.user_id, u.lease_token, u.position, u.due_at, u.forget_seq,
        u.abandoned_leases, u.position - u.extracted AS waiting
), spent AS (
    UPDATE extraction_limits l
    SET free_at = GREATEST(l.free_at, now()) + make_interval(secs => GREATEST(
        60.0 / l.users_a_minute, 60.0 * leased.waiting / l.interactions_a_minute))
    FROM leased
    WHERE l.tenant_id = leased.tenant_id
        AND (l.users_a_minute IS NOT NULL OR l.interactions_a_minute IS NOT NULL)
    RETURNING l.tenant_id
)
SELECT tenant_id, user_id, lease_token, position, due_at, forget_seq, abandoned_leases,
    EXISTS (SELECT FROM spent) AS paid
FROM leased

-- next --
-- Seconds until the first of those who wait longest in each tenant can be leased; NULL if nobody
-- waits, or only users of tenants that are suspended, paused or passed over.
-- unscoped: looks for due users in every tenant
WITH RECURSIVE turns(backfill, tenant_id) AS (
    SELECT b.backfill, COALESCE(%(tenant)s::text, '') FROM (VALUES (false), (true)) b(backfill)
    UNION ALL
    SELECT t.backfill, n.tenant_id
    FROM turns t
    CROSS JOIN LATERAL (
        SELECT u.tenant_id FROM users u
        WHERE u.due_at IS NOT NULL AND u.backfill = t.backfill AND u.tenant_id > t.tenant_id
        ORDER BY u.tenant_id LIMIT 1
    ) n
    WHERE %(tenant)s::text IS NULL
), waiting AS (
    SELECT GREATEST(leasable_at(w.u, %(quiet)s, %(full)s), (
        SELECT l.free_at FROM extraction_limits l WHERE l.tenant_id = t.tenant_id)) AS leasable
    FROM turns t
    CROSS JOIN LATERAL (
        SELECT u FROM users u
        WHERE u.tenant_id = t.tenant_id AND u.backfill = t.backfill AND u.due_at IS NOT NULL
            AND (%(user)s::text IS NULL OR u.user_id = %(user)s)
        ORDER BY u.due_at
        LIMIT 1000
    ) w
    WHERE t.tenant_id <> ALL(%(passed_over)s::text[])
        AND (SELECT l.paused_at IS NULL FROM extraction_limits l
             WHERE l.tenant_id = t.tenant_id) IS NOT FALSE
        AND (SELECT a.suspended_at FROM tenant_admissions a WHERE a.tenant_id = t.tenant_id) IS NULL
    LIMIT 1000
)
SELECT EXTRACT(epoch FROM min(leasable) - now())::float8 AS seconds FROM waiting

-- limit --
-- Pauses or throttles the extraction of the bound tenant; a pause keeps the throttle, and the reverse.
-- unscoped: a tenant's row, which is no user's
INSERT INTO extraction_limits AS l (tenant_id, paused_at, users_a_minute, interactions_a_minute)
VALUES (%(tenant)s, CASE WHEN %(paused)s THEN now() END, %(users)s::int, %(interactions)s::int)
ON CONFLICT (tenant_id) DO UPDATE
    SET paused_at = COALESCE(l.paused_at, excluded.paused_at),
        users_a_minute = CASE WHEN %(paused)s THEN l.users_a_minute ELSE excluded.users_a_minute END,
        interactions_a_minute = CASE WHEN %(paused)s THEN l.interactions_a_minute
                                     ELSE excluded.interactions_a_minute END,
        free_at = now()

-- free --
-- Ends the pause and the throttle of the bound tenant; a row if there was one.
-- unscoped: a tenant's row, which is no user's
DELETE FROM extraction_limits WHERE tenant_id = %(tenant)s RETURNING tenant_id

-- wake --
-- Wakes the workers: a tenant may have users to lease that it had not.
-- unscoped: touches no table
SELECT pg_notify('memory_due', '')

-- by_tenant --
-- What waits in each tenant that has users due, or that an operator listed, suspended, paused or
-- throttled: the held back first, then those who wait longest.
-- unscoped: the operator's view over every tenant; counts only
SELECT tenant_id, COALESCE(u.users_due, 0) AS users_due,
    COALESCE(u.waiting, 0)::bigint AS waiting, COALESCE(u.lag_seconds, 0)::float8 AS lag_seconds,
    l.paused_at, l.users_a_minute, l.interactions_a_minute, a.listed_at, a.suspended_at,
    COALESCE(sum(u.waiting) FILTER (WHERE h.held) OVER (), 0)::bigint AS held_back,
    COALESCE(max(u.live_seconds) FILTER (WHERE NOT h.held) OVER (), 0)::float8 AS live_seconds,
    COALESCE(max(u.backfill_seconds) FILTER (WHERE NOT h.held) OVER (), 0)::float8
        AS backfill_seconds
FROM (
    SELECT tenant_id, count(*) AS users_due, sum(position - extracted) AS waiting,
        EXTRACT(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())) AS lag_seconds,
        EXTRACT(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now() AND NOT backfill))
            AS live_seconds,
        EXTRACT(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now() AND backfill))
            AS backfill_seconds
    FROM users WHERE due_at IS NOT NULL
    GROUP BY tenant_id
) u
FULL JOIN (SELECT tenant_id, paused_at, users_a_minute, interactions_a_minute, true AS held
           FROM extraction_limits) l USING (tenant_id)
FULL JOIN tenant_admissions a USING (tenant_id)
CROSS JOIN LATERAL (
    SELECT l.held IS NOT NULL OR a.suspended_at IS NOT NULL AS held
) h
ORDER BY (a.suspended_at IS NOT NULL) DESC, (l.paused_at IS NOT NULL) DESC, h.held DESC,
    lag_seconds DESC, tenant_id
LIMIT %(limit)s

-- oldest --
-- How long the live user has waited who waits longest, of tenants that nobody holds back.
-- unscoped: the user may be any tenant's; tells a time alone
SELECT EXTRACT(epoch FROM now() - u.due_at)::float8 AS seconds
FROM users u
WHERE u.due_at <= now() AND NOT u.backfill
    AND NOT EXISTS (SELECT FROM extraction_limits l WHERE l.tenant_id = u.tenant_id)
    AND NOT EXISTS (SELECT FROM tenant_admissions a
                    WHERE a.tenant_id = u.tenant_id AND a.suspended_at IS NOT NULL)
ORDER BY u.due_at LIMIT 1

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
-- after `retry` seconds, or when the first failed session may be retried. A user with nothing but
-- retries waiting stands back with the backfill, so that failures delay nobody else.
UPDATE users u
SET lease_token = NULL, leased_until = NULL,
    backfill = backfill OR (f.retry_at IS NOT NULL AND position <= %(position)s),
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
    p.fallback_from, p.fallback_through, p.fallback_reason,
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
SELECT session_id, 0, 0, 0, NULL, NULL, NULL, NULL, crash_count, NULL FROM session_progress
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND session_id = ''
ORDER BY first_position, session_id

-- advance --
-- Moves a generation's progress in a session, and says what was read without a model; commits with
-- the memories it made.
INSERT INTO session_progress AS p (tenant_id, user_id, generation, session_id, ordinal,
    fallback_from, fallback_through, fallback_reason)
VALUES (%(tenant)s, %(user)s, %(generation)s, %(session)s, %(ordinal)s, %(fallback_from)s,
    %(fallback_through)s, %(fallback_reason)s)
ON CONFLICT (tenant_id, user_id, generation, session_id)
    DO UPDATE SET ordinal = excluded.ordinal, attempts = 0, crash_count = 0, error = NULL,
        retry_at = NULL, fallback_from = excluded.fallback_from,
        fallback_through = excluded.fallback_through, fallback_reason = excluded.fallback_reason

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

-- fallback_users --
-- The bound tenant's users with sessions that were read without the model that is configured, or
-- whose summaries were written without it; or one of them.
-- unscoped: goes through the users of a tenant
SELECT user_id FROM session_progress
WHERE tenant_id = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
    AND fallback_from IS NOT NULL
UNION
SELECT user_id FROM memories
WHERE tenant_id = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
    AND kind = 'summary' AND believed_to IS NULL
    AND payload ->> 'instead_of_model' IN ('unavailable', 'unusable', 'budget_spent')
ORDER BY user_id

-- upgrade --
-- Makes extraction read a user's sessions again from where they were read without a model, or from
-- the first interaction that shares a memory with those; a row for each.
WITH marked AS (
    SELECT p.generation, p.session_id, p.fallback_from,
        COALESCE(array_agg(i.interaction_id) FILTER (WHERE i.interaction_id IS NOT NULL), '{}')
            AS ids
    FROM session_progress p
    LEFT JOIN interactions i ON i.tenant_id = p.tenant_id AND i.user_id = p.user_id
        AND i.session_id = p.session_id
        AND i.ordinal BETWEEN p.fallback_from AND p.fallback_through
    WHERE p.tenant_id = %(tenant)s AND p.user_id = %(user)s AND p.fallback_from IS NOT NULL
    GROUP BY p.generation, p.session_id, p.fallback_from
), beside AS (
    SELECT m.generation, m.session_id, unnest(a.interaction_ids) AS interaction_id
    FROM marked m
    JOIN assertions a ON a.tenant_id = %(tenant)s AND a.user_id = %(user)s
        AND a.generation = m.generation AND a.interaction_ids && m.ids
    UNION
    SELECT m.generation, m.session_id, o.interaction_id
    FROM marked m
    JOIN evidence e ON e.tenant_id = %(tenant)s AND e.user_id = %(user)s
        AND e.interaction_id = ANY(m.ids)
    JOIN evidence o ON o.tenant_id = %(tenant)s AND o.user_id = %(user)s
        AND o.memory_id = e.memory_id
), places AS (
    SELECT m.generation, m.session_id, LEAST(m.fallback_from, min(i.ordinal)) AS ordinal
    FROM marked m
    LEFT JOIN beside b ON b.generation = m.generation AND b.session_id = m.session_id
    LEFT JOIN interactions i ON i.tenant_id = %(tenant)s AND i.user_id = %(user)s
        AND i.interaction_id = b.interaction_id AND i.session_id = m.session_id
    GROUP BY m.generation, m.session_id, m.fallback_from
)
UPDATE session_progress g
SET ordinal = LEAST(g.ordinal, p.ordinal - 1), attempts = 0, error = NULL, set_aside_at = NULL,
    retry_at = NULL, reread_through = GREATEST(g.reread_through, g.ordinal)
FROM places p
WHERE g.tenant_id = %(tenant)s AND g.user_id = %(user)s AND g.session_id = p.session_id
    AND g.generation = p.generation
RETURNING g.session_id

-- reopen --
-- Opens a user's closed sessions whose summaries were written without the model that is configured;
-- the job that closes sessions then writes them again. A row for each.
UPDATE sessions s SET closed_at = NULL
WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s AND s.closed_at IS NOT NULL
    AND EXISTS (
        SELECT FROM memories m
        WHERE m.tenant_id = s.tenant_id AND m.user_id = s.user_id AND m.session_id = s.session_id
            AND m.kind = 'summary' AND m.believed_to IS NULL
            AND m.payload ->> 'instead_of_model' IN ('unavailable', 'unusable', 'budget_spent'))
RETURNING s.session_id

-- lag --
-- What waits, live and in backfill: users due, interactions not extracted; and users that are
-- leased, also by expired leases.
-- unscoped: the operator's view over every tenant; counts only
SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS users_due,
    count(*) FILTER (WHERE due_at IS NOT NULL AND backfill) AS backfill_users,
    count(*) AS users,
    COALESCE(sum(position), 0)::bigint AS interactions,
    COALESCE(sum(position - extracted), 0)::bigint AS waiting,
    COALESCE(sum(position - extracted) FILTER (WHERE due_at IS NOT NULL AND backfill), 0)::bigint
        AS backfill_waiting,
    count(*) FILTER (WHERE leased_until > now()) AS leased,
    count(*) FILTER (WHERE leased_until <= now()) AS leases_expired
FROM users

-- set_aside --
-- The bound tenant's sessions that were set aside and still wait, newest first. Those of a retired
-- generation are history.
SELECT p.user_id, p.session_id, p.ordinal, p.attempts, p.error, p.set_aside_at
FROM session_progress p JOIN generations g ON g.generation = p.generation AND g.state <> 'retired'
WHERE p.tenant_id = %(tenant)s AND (%(user)s = '' OR p.user_id = %(user)s)
    AND p.set_aside_at IS NOT NULL
ORDER BY p.set_aside_at DESC
LIMIT 100

-- set_aside_by_tenant --
-- How many sessions were set aside and still wait, in each tenant that has such.
-- unscoped: the operator's view over every tenant; counts only
SELECT p.tenant_id, count(*) AS sessions, sum(count(*)) OVER ()::bigint AS total
FROM session_progress p JOIN generations g ON g.generation = p.generation AND g.state <> 'retired'
WHERE p.set_aside_at IS NOT NULL
GROUP BY p.tenant_id
ORDER BY max(p.set_aside_at) DESC
LIMIT %(limit)s
