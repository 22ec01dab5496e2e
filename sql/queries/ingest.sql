-- take --
-- Takes over partitions: raises each one's epoch, so that the former owner can commit nothing more.
-- unscoped: positions belong to no tenant
INSERT INTO partition_offsets AS p (cluster_id, topic_id, partition, topic, owner)
SELECT %(cluster)s, %(topic_id)s, t.partition, %(topic)s, %(owner)s
FROM unnest(%(partitions)s::int[]) AS t(partition)
ORDER BY t.partition
ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE
    SET epoch = p.epoch + 1, owner = excluded.owner, topic = excluded.topic, updated_at = now()
RETURNING partition, next_offset, epoch

-- begin --
-- Notes the start of partitions that were never read; a row for each that is still ours.
-- unscoped: positions belong to no tenant
UPDATE partition_offsets p SET next_offset = t.next_offset, updated_at = now()
FROM unnest(%(partitions)s::int[], %(epochs)s::bigint[], %(starts)s::bigint[])
    AS t(partition, epoch, next_offset)
WHERE p.cluster_id = %(cluster)s AND p.topic_id = %(topic_id)s AND p.partition = t.partition
    AND p.epoch = t.epoch AND p.next_offset IS NULL
RETURNING p.partition

-- held --
-- The positions of a topic's partitions, and their epochs.
-- unscoped: positions belong to no tenant
SELECT partition, next_offset, epoch FROM partition_offsets
WHERE cluster_id = %(cluster)s AND topic_id = %(topic_id)s AND partition = ANY(%(partitions)s::int[])

-- earlier_topics --
-- Positions of other topics of this name in this cluster: the topic was deleted and created again.
-- unscoped: positions belong to no tenant
SELECT topic_id, sum(next_offset)::bigint AS records, max(updated_at) AS updated_at FROM partition_offsets
WHERE cluster_id = %(cluster)s AND topic = %(topic)s AND topic_id <> %(topic_id)s
GROUP BY topic_id

-- drop_earlier_topics --
-- Deletes the offsets that `earlier_topics` finds.
-- unscoped: positions belong to no tenant
DELETE FROM partition_offsets
WHERE cluster_id = %(cluster)s AND topic = %(topic)s AND topic_id <> %(topic_id)s

-- unstage --
-- Deletes a table that somebody left on the connection: a pooler hands one to many.
-- unscoped: a temporary table
DROP TABLE IF EXISTS pg_temp.staged

-- stage --
-- Holds a batch for `append`, until its commit; private to the connection.
-- unscoped: a temporary table
CREATE TEMPORARY TABLE staged ON COMMIT DROP AS
SELECT 0 AS nth, tenant_id, user_id, %{sent}, content_hash, traceparent, tracestate
FROM interactions
WITH NO DATA

-- copy --
-- Fills `staged`; COPY is refused if row-level security would have to filter it.
-- unscoped: a temporary table
COPY pg_temp.staged (nth, tenant_id, user_id, %{sent}, content_hash, traceparent, tracestate) FROM STDIN

-- not_admitted --
-- Those of the given tenants that may not record, or have a quota to check: why not, or `limited`.
-- unscoped: the tenants of a batch; names no user
SELECT n.tenant_id, CASE WHEN s.listed_only AND a.listed_at IS NULL THEN 'unlisted_tenant'
                         WHEN a.suspended_at IS NOT NULL THEN 'suspended_tenant'
                         ELSE 'limited' END AS state
FROM unnest(%(tenants)s::text[]) n(tenant_id)
CROSS JOIN store_settings s
LEFT JOIN tenant_admissions a ON a.tenant_id = n.tenant_id
WHERE s.listed_only AND a.listed_at IS NULL OR a.suspended_at IS NOT NULL
    OR num_nonnulls(a.interactions_a_day, a.bytes_stored) > 0
        AND COALESCE(a.checked_until <= now(), true)

-- over_quota --
-- Which quota the bound tenant has used up; NULL: none.
-- unscoped: the function counts within the binding
SELECT quota_exceeded(%(tenant)s) AS said

-- append --
-- As `log.append`, for many users at once: appends what is staged for the bound tenant, in the order
-- staged, each at the next place of its session and of its user. A row for each that was not
-- appended, with the hash of what the log has under its id; NULL: the id was forgotten. Users are
-- locked in the order of their names, so that no two writers wait for each other. An id may be
-- staged once. What becomes of users and sessions is written here as it is in `append_interaction`
-- and `log.append`: functions that all three call took 4 times the server's time over batches of
-- 1,000 users, and a tenth more over one user's batches.
-- unscoped: every user of the bound tenant that is staged, each named by its whole key
WITH incoming AS MATERIALIZED (
    -- LIMIT 1 keeps each look one look into the index.
    SELECT s.nth, s.user_id, s.%{sent}, s.content_hash, s.traceparent, s.tracestate,
        k.content_hash AS known_hash, t.id_digest IS NOT NULL AS forgotten
    FROM pg_temp.staged s
    LEFT JOIN LATERAL (
        SELECT content_hash FROM interactions
        WHERE tenant_id = %(tenant)s AND user_id = s.user_id
            AND interaction_id = s.interaction_id
        LIMIT 1
    ) k ON true
    LEFT JOIN LATERAL (
        SELECT id_digest FROM tombstones
        WHERE tenant_id = %(tenant)s AND user_id = s.user_id
            AND id_digest = sha256(convert_to(s.interaction_id, 'UTF8'))
        LIMIT 1
    ) t ON true
    WHERE s.tenant_id = %(tenant)s
), fresh AS (
    SELECT i.user_id, i.%{sent}, i.content_hash, i.traceparent, i.tracestate,
        row_number() OVER (PARTITION BY i.user_id ORDER BY i.nth) AS nth_of_user,
        row_number() OVER (PARTITION BY i.user_id, i.session_id ORDER BY i.nth) AS nth_of_session
    FROM incoming i
    WHERE i.known_hash IS NULL AND NOT i.forgotten
), of_session AS (
    SELECT user_id, session_id, min(agent_id) AS agent_id, count(*) AS added,
        min(occurred_at) AS started_at, max(occurred_at) AS last_at,
        sum(interaction_bytes(content, payload)) AS bytes,
        bool_and(starts_with(source, 'import:')) AS imported
    FROM fresh
    GROUP BY user_id, session_id
), of_user AS (
    SELECT user_id, sum(added)::bigint AS added, sum(bytes)::bigint AS bytes,
        bool_and(imported) AS imported
    FROM of_session
    GROUP BY user_id
), writer AS (
    INSERT INTO users AS u (tenant_id, user_id, position, bytes, recorded_at, due_at, backfill)
    SELECT %(tenant)s, o.user_id, o.added, o.bytes, now(), now(), o.imported
    FROM of_user o
    ORDER BY o.user_id
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + excluded.position, bytes = u.bytes + excluded.bytes,
            recorded_at = now(),
            due_at = LEAST(u.due_at, now()),
            backfill = excluded.backfill AND (u.backfill OR u.due_at IS NULL)
    RETURNING u.user_id, u.position
), touched AS (
    INSERT INTO sessions AS s (tenant_id, user_id, session_id, agent_id, length, started_at,
        last_at, expires_at)
    SELECT %(tenant)s, o.user_id, o.session_id, o.agent_id, o.added, o.started_at, o.last_at,
        GREATEST(o.last_at, now()) + make_interval(secs => %(session_ttl)s)
    FROM of_session o JOIN writer w USING (user_id)
    ON CONFLICT (tenant_id, user_id, session_id) DO UPDATE
        SET length = s.length + excluded.length,
            started_at = LEAST(s.started_at, excluded.started_at),
            last_at = GREATEST(s.last_at, excluded.last_at),
            expires_at = GREATEST(s.expires_at, excluded.expires_at),
            closed_at = NULL
    RETURNING s.user_id, s.session_id, s.length
), places AS (
    -- Where each session of the batch was before it, in itself and in its user's log.
    SELECT s.user_id, s.session_id, t.length - s.added AS length, w.position - u.added AS position
    FROM of_session s JOIN touched t USING (user_id, session_id)
        JOIN of_user u USING (user_id) JOIN writer w USING (user_id)
), appended AS (
    INSERT INTO interactions (tenant_id, user_id, ordinal, position, %{sent}, content_hash,
        traceparent, tracestate)
    SELECT %(tenant)s, f.user_id, p.length + f.nth_of_session, p.position + f.nth_of_user,
        f.%{sent}, f.content_hash, f.traceparent, f.tracestate
    FROM fresh f JOIN places p USING (user_id, session_id)
)
SELECT nth, known_hash FROM incoming
WHERE known_hash IS NOT NULL OR forgotten

-- set_aside --
-- Stores a message that could not be applied; nothing of an id that its user had forgotten.
-- unscoped: whose it is may be unknown; tenant and user come with the message where it tells them
INSERT INTO dead_letters (cluster_id, topic_id, partition, record_offset, topic, reason, detail,
    key, value, headers, tenant_id, user_id, session_id, interaction_id, record_time)
SELECT %(cluster)s, %(topic_id)s, %(partition)s::int, %(record_offset)s::bigint, %(topic)s,
    %(reason)s, %(detail)s, %(key)s::bytea, %(value)s::bytea, %(headers)s::jsonb, %(tenant)s::text,
    %(user)s::text, %(session)s::text, %(id)s::text, %(record_time)s::timestamptz
WHERE NOT EXISTS (
    SELECT FROM tombstones
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND id_digest = sha256(convert_to(%(id)s, 'UTF8'))
)
ON CONFLICT (cluster_id, topic_id, partition, record_offset) DO NOTHING

-- advance --
-- Moves partitions on from the position this process found; a row for each that was still there and
-- still this process's. Fewer rows than partitions: another process took one over, and nothing may
-- commit.
-- unscoped: positions belong to no tenant
UPDATE partition_offsets p
SET next_offset = t.next_offset, record_time = GREATEST(p.record_time, t.record_time),
    appended = p.appended + t.appended, duplicates = p.duplicates + t.duplicates,
    forgotten = p.forgotten + t.forgotten, set_aside = p.set_aside + t.set_aside,
    updated_at = now()
FROM unnest(%(partitions)s::int[], %(epochs)s::bigint[], %(starts)s::bigint[], %(ends)s::bigint[],
        %(record_times)s::timestamptz[], %(appended)s::bigint[], %(duplicates)s::bigint[],
        %(forgotten)s::bigint[], %(set_aside)s::bigint[])
    AS t(partition, epoch, start_offset, next_offset, record_time, appended, duplicates, forgotten,
        set_aside)
WHERE p.cluster_id = %(cluster)s AND p.topic_id = %(topic_id)s AND p.partition = t.partition
    AND p.epoch = t.epoch AND p.next_offset = t.start_offset
RETURNING p.partition

-- positions --
-- The positions of a topic's partitions, their owners, and the counts of their records so far.
-- unscoped: positions belong to no tenant
SELECT cluster_id, topic_id, topic, partition, next_offset, epoch, owner, record_time, appended,
    duplicates, forgotten, set_aside, updated_at
FROM partition_offsets
WHERE topic = %(topic)s
ORDER BY cluster_id, topic_id, partition
