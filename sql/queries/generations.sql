-- all --
-- Every generation, in the order they were begun.
-- unscoped: generations belong to no tenant
SELECT generation, name, state, percent, followed, extractors, created_at FROM generations
ORDER BY generation

-- begin --
-- Adds a shadow, unless the name is taken.
-- unscoped: generations belong to no tenant
INSERT INTO generations (name, state, extractors) VALUES (%(name)s, 'shadow', %(extractors)s)
ON CONFLICT (name) DO NOTHING

-- pin --
-- Fixes the live generation's extractors; no row if they are fixed already.
-- unscoped: generations belong to no tenant
UPDATE generations SET extractors = %(extractors)s
WHERE state = 'live' AND (extractors = '{}' OR extractors = %(extractors)s)
RETURNING generation

-- follow --
-- Sends new interactions through a shadow as well, or stops that if it serves nobody.
-- unscoped: generations belong to no tenant
UPDATE generations SET followed = %(followed)s
WHERE name = %(name)s AND state = 'shadow' AND (%(followed)s OR percent = 0)

-- shift --
-- Lets a shadow that is kept up serve a share of the users; no row if it is not kept up.
-- unscoped: generations belong to no tenant
UPDATE generations SET percent = %(percent)s
WHERE name = %(name)s AND state = 'shadow' AND followed
RETURNING generation

-- rollback --
-- Gives every user back to the live generation; no row if no shift is active.
-- unscoped: generations belong to no tenant
UPDATE generations SET percent = 0, followed = false WHERE state = 'shadow' AND percent > 0
RETURNING name

-- step_down --
-- Makes the live generation a shadow, kept up as it was; `step_up` follows in the transaction.
-- unscoped: generations belong to no tenant
UPDATE generations SET state = 'shadow', percent = 0 WHERE state = 'live'
RETURNING name

-- step_up --
-- Makes a shadow that serves all users the live generation; no row if it does not serve all.
-- unscoped: generations belong to no tenant
UPDATE generations SET state = 'live' WHERE name = %(name)s AND state = 'shadow' AND percent = 100
RETURNING generation

-- retire --
-- Takes a shadow that serves nobody out of use; no row if it serves, or is live.
-- unscoped: generations belong to no tenant
UPDATE generations SET state = 'retired', followed = false
WHERE name = %(name)s AND percent = 0 AND state <> 'live'
RETURNING generation

-- behind --
-- The tenant's next users for whom a generation has not derived all of the log; `since` and `users`
-- narrow them down.
-- unscoped: replay goes through the users of a tenant
SELECT u.user_id FROM users u
LEFT JOIN generation_progress d ON d.tenant_id = u.tenant_id AND d.user_id = u.user_id
    AND d.generation = %(generation)s
WHERE u.tenant_id = %(tenant)s AND u.user_id > %(after)s
    AND (%(users)s::text[] IS NULL OR u.user_id = ANY(%(users)s))
    AND (%(since)s::timestamptz IS NULL OR u.recorded_at >= %(since)s)
    AND (COALESCE(d.position, 0) < u.position OR d.forget_seq < u.forget_seq)
ORDER BY u.user_id LIMIT %(limit)s

-- coverage --
-- Of the tenant's users with a log: how many there are, how many a generation has derived at all,
-- and how many it has derived as far as the live one.
-- unscoped: replay goes through the users of a tenant
SELECT count(*) AS users, count(d.position) AS derived,
    count(*) FILTER (WHERE d.position >= u.extracted AND d.forget_seq >= u.forget_seq) AS level
FROM users u
LEFT JOIN generation_progress d ON d.tenant_id = u.tenant_id AND d.user_id = u.user_id
    AND d.generation = %(generation)s
WHERE u.tenant_id = %(tenant)s AND u.position > 0

-- derived --
-- Notes how far a generation beside the live one has come for a user, while the lease is held and
-- no failed work waits for a retry.
INSERT INTO generation_progress AS d (tenant_id, user_id, generation, position, forget_seq)
SELECT tenant_id, user_id, %(generation)s, %(position)s, %(forget_seq)s FROM users u
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
    AND NOT EXISTS (
        SELECT FROM session_progress p
        WHERE p.tenant_id = u.tenant_id AND p.user_id = u.user_id
            AND p.generation = %(generation)s AND p.retry_at IS NOT NULL)
FOR NO KEY UPDATE
ON CONFLICT (tenant_id, user_id, generation)
    DO UPDATE SET position = excluded.position, forget_seq = excluded.forget_seq, derived_at = now()
RETURNING generation

-- level --
-- Notes that the live generation has derived what was extracted, before it becomes a shadow.
-- unscoped: goes through the users of a tenant
INSERT INTO generation_progress AS d (tenant_id, user_id, generation, position, forget_seq)
SELECT u.tenant_id, u.user_id, g.generation, u.extracted, u.forget_seq
FROM users u CROSS JOIN generations g
WHERE u.tenant_id = %(tenant)s AND u.extracted > 0 AND g.state = 'live'
ON CONFLICT (tenant_id, user_id, generation)
    DO UPDATE SET position = excluded.position, forget_seq = excluded.forget_seq, derived_at = now()

-- between --
-- The tenant's next users that one percentage serves and another, lower one does not.
-- unscoped: goes through the users of a tenant
SELECT user_id FROM users
WHERE tenant_id = %(tenant)s AND user_id > %(after)s
    AND rollout_bucket(tenant_id, user_id) BETWEEN %(low)s AND %(high)s - 1
ORDER BY user_id LIMIT %(limit)s

-- hold --
-- Leases one user, due or not, unless another worker holds it.
UPDATE users
SET lease_token = gen_random_uuid(), leased_until = now() + make_interval(secs => %(lease)s),
    abandoned_leases = CASE WHEN lease_token IS NULL THEN 0 ELSE abandoned_leases + 1 END
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND (leased_until IS NULL OR leased_until < now())
RETURNING lease_token, position, due_at, forget_seq, abandoned_leases

-- let_go --
-- Releases a held user, due or not as it was.
UPDATE users SET lease_token = NULL, leased_until = NULL
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s

-- pressure --
-- Whether live extraction waits for a user, and how long it has made anybody wait.
-- A tenant that an operator holds back makes nobody wait.
-- unscoped: the user who has waited longest may be any tenant's; tells a time alone
SELECT EXISTS (
        SELECT FROM users
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND due_at <= now()
            AND recorded_at <= now() - make_interval(secs => %(quiet)s)) AS due,
    GREATEST(0, COALESCE(EXTRACT(epoch FROM now() - (
        SELECT u.due_at FROM users u WHERE NOT u.backfill AND u.due_at <= now()
            AND NOT EXISTS (SELECT FROM extraction_limits l WHERE l.tenant_id = u.tenant_id)
        ORDER BY u.due_at LIMIT 1
    )), 0))::float8 AS lag

-- unsummarised --
-- The user's closed sessions without a summary in a generation.
SELECT s.session_id FROM sessions s
WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s AND s.closed_at IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM memories m
        WHERE m.tenant_id = s.tenant_id AND m.user_id = s.user_id
            AND m.generation = %(generation)s AND m.session_id = s.session_id
            AND m.kind = 'summary' AND m.believed_to IS NULL)
ORDER BY s.started_at, s.session_id

-- delete_memories --
-- Deletes some of a retired generation's memories of a user, with evidence and vectors.
DELETE FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id IN (
    SELECT m.memory_id FROM memories m JOIN generations g USING (generation)
    WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s
        AND m.generation = %(generation)s AND g.state = 'retired'
    LIMIT %(limit)s)
RETURNING memory_id

-- delete_traces --
-- Deletes the other rows of a retired generation for a user.
WITH retired AS (
    SELECT generation FROM generations WHERE generation = %(generation)s AND state = 'retired'
), asserted AS (
    DELETE FROM assertions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND generation IN (SELECT generation FROM retired)
), come AS (
    DELETE FROM session_progress
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND generation IN (SELECT generation FROM retired)
)
DELETE FROM generation_progress
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND generation IN (SELECT generation FROM retired)
