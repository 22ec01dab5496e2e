-- state --
-- Whether changes are stored, how many wait to be published, and how long the oldest has waited.
-- unscoped: counts over every tenant, and nothing of what was said
SELECT s.enabled_at, s.leased_until > now() AS published, w.users, w.waiting, w.oldest_seconds
FROM change_stream s CROSS JOIN (
    SELECT count(*) FILTER (WHERE waiting_since IS NOT NULL) AS users,
        COALESCE(sum(last_seq - published_seq), 0)::bigint AS waiting,
        COALESCE(EXTRACT(epoch FROM now() - min(waiting_since)), 0)::float8 AS oldest_seconds
    FROM change_cursors
) w

-- enable --
-- Stores changes from now on.
-- unscoped: belongs to no tenant
UPDATE change_stream SET enabled_at = COALESCE(enabled_at, now())

-- disable --
-- Stops storing changes.
-- unscoped: belongs to no tenant
UPDATE change_stream SET enabled_at = NULL

-- listen --
-- Listens for new changes that wait.
-- unscoped: touches no table
LISTEN memory_changes

-- lead --
-- Makes this process the publisher for another while; no row if another process is.
-- unscoped: belongs to no tenant
UPDATE change_stream
SET lease_token = %(token)s, leased_until = now() + make_interval(secs => %(lease)s)
WHERE lease_token = %(token)s OR leased_until IS NULL OR leased_until < now()
RETURNING lease_token

-- step_down --
-- Lets another process publish.
-- unscoped: belongs to no tenant
UPDATE change_stream SET lease_token = NULL, leased_until = NULL WHERE lease_token = %(token)s

-- waiting --
-- The users whose changes have waited longest.
-- unscoped: looks for waiting changes in every tenant
SELECT tenant_id, user_id FROM change_cursors WHERE waiting_since IS NOT NULL
ORDER BY waiting_since LIMIT %(limit)s

-- read --
-- The first unpublished changes of users, each user's in order.
-- unscoped: a publisher goes through the users of a tenant
SELECT c.tenant_id, c.user_id, c.seq, c.change, c.memory_id, c.generation, c.successor, c.memory,
    c.changed_at
FROM unnest(%(users)s::text[]) AS u(user_id)
CROSS JOIN LATERAL (
    SELECT tenant_id, user_id, seq, change, memory_id, generation, successor, memory, changed_at
    FROM changes
    WHERE tenant_id = %(tenant)s AND user_id = u.user_id
    ORDER BY seq LIMIT %(limit)s
) c
ORDER BY c.user_id, c.seq

-- published --
-- Deletes changes up to the given place of each user, while this process is the publisher.
-- unscoped: a publisher goes through the users of a tenant
WITH elected AS (
    SELECT FROM change_stream WHERE lease_token = %(token)s FOR SHARE
), moved AS (
    UPDATE change_cursors p
    SET published_seq = r.seq, waiting_since = CASE WHEN p.last_seq > r.seq
        THEN COALESCE((SELECT changed_at FROM changes c
                       WHERE c.tenant_id = p.tenant_id AND c.user_id = p.user_id AND c.seq > r.seq
                       ORDER BY c.seq LIMIT 1), now()) END
    FROM unnest(%(users)s::text[], %(seqs)s::bigint[]) AS r(user_id, seq), elected
    WHERE p.tenant_id = %(tenant)s AND p.user_id = r.user_id AND p.published_seq < r.seq
    RETURNING p.tenant_id, p.user_id, p.published_seq
)
DELETE FROM changes c USING moved m
WHERE c.tenant_id = m.tenant_id AND c.user_id = m.user_id AND c.seq <= m.published_seq

-- drop --
-- Deletes all waiting changes of the bound tenant, unpublished.
-- unscoped: an operator does so for a tenant
WITH places AS (
    UPDATE change_cursors SET published_seq = last_seq, waiting_since = NULL
    WHERE tenant_id = %(tenant)s AND waiting_since IS NOT NULL
    RETURNING tenant_id, user_id, last_seq
)
DELETE FROM changes c USING places p
WHERE c.tenant_id = p.tenant_id AND c.user_id = p.user_id AND c.seq <= p.last_seq

-- hold --
-- Stores no change of a user before this transaction ends.
INSERT INTO change_cursors AS p (tenant_id, user_id) VALUES (%(tenant)s, %(user)s)
ON CONFLICT (tenant_id, user_id) DO UPDATE SET last_seq = p.last_seq

-- snapshot --
-- Stores a reset and then all current beliefs about a user, as changes; after `hold`.
SELECT append_changes(
    ARRAY[ROW(%(tenant)s, %(user)s, 'reset', NULL, s.generation, NULL, NULL)::memory_change]
    || (SELECT COALESCE(array_agg(build_change(m, 'added', NULL) ORDER BY m.memory_id), '{}')
        FROM memories m
        WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.generation = s.generation
            AND m.believed_to IS NULL AND m.archived_at IS NULL))
FROM serving_generation(%(tenant)s, %(user)s) s
WHERE changes_enabled()

-- silence --
-- Stores no changes in this transaction, which moves rows and changes no memory.
-- unscoped: touches no table
SELECT set_config('memory.changes', 'off', true)
