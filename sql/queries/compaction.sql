-- tenants --
-- Tenants after one, in order; leasing lets the worker see the users of every tenant.
-- unscoped: the jobs go through the tenants; names no user
WITH RECURSIVE found AS (
    (SELECT tenant_id FROM users WHERE tenant_id > %(after)s ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT u.tenant_id FROM users u WHERE u.tenant_id > found.tenant_id
            ORDER BY u.tenant_id LIMIT 1)
    FROM found WHERE found.tenant_id IS NOT NULL
)
SELECT tenant_id FROM found WHERE tenant_id IS NOT NULL LIMIT %(limit)s

-- users --
-- The tenant's users after one, in order.
-- unscoped: the jobs go through the users of a tenant
SELECT user_id FROM users
WHERE tenant_id = %(tenant)s AND user_id > %(after)s
ORDER BY user_id LIMIT %(limit)s

-- policy --
-- The tenant's policy; no row for one that has none.
-- unscoped: the row belongs to the tenant
SELECT policy FROM tenants WHERE tenant_id = %(tenant)s

-- lock_policy --
-- The tenant's policy, of which nobody writes another until the end of the transaction.
-- unscoped: the row belongs to the tenant
INSERT INTO tenants AS t (tenant_id) VALUES (%(tenant)s)
ON CONFLICT (tenant_id) DO UPDATE SET policy = t.policy
RETURNING policy

-- set_policy --
-- Replaces the tenant's policy, or keeps it if `policy` is NULL.
-- unscoped: the row belongs to the tenant
INSERT INTO tenants AS t (tenant_id, policy)
VALUES (%(tenant)s, COALESCE(%(policy)s::jsonb, '{}'))
ON CONFLICT (tenant_id) DO UPDATE SET policy = COALESCE(%(policy)s::jsonb, t.policy)

-- begin --
-- Takes a job of the tenant and returns its position; no row while another process runs it.
-- unscoped: a job's progress belongs to the tenant
INSERT INTO job_progress AS p (tenant_id, job, lease_token, leased_until)
VALUES (%(tenant)s, %(job)s, gen_random_uuid(), now() + make_interval(secs => %(lease)s))
ON CONFLICT (tenant_id, job) DO UPDATE
    SET lease_token = excluded.lease_token, leased_until = excluded.leased_until
    WHERE p.leased_until IS NULL OR p.leased_until < now()
RETURNING lease_token, cursor

-- advance --
-- Stores a job's position; no row if another process took it over.
-- unscoped: a job's progress belongs to the tenant
UPDATE job_progress
SET cursor = %(cursor)s, leased_until = now() + make_interval(secs => %(lease)s)
WHERE tenant_id = %(tenant)s AND job = %(job)s AND lease_token = %(token)s
RETURNING lease_token

-- finish --
-- Releases a job; after its end the next run starts from the beginning.
-- unscoped: a job's progress belongs to the tenant
UPDATE job_progress
SET lease_token = NULL, leased_until = NULL,
    cursor = CASE WHEN %(done)s THEN '' ELSE cursor END,
    finished_at = CASE WHEN %(done)s THEN now() ELSE finished_at END
WHERE tenant_id = %(tenant)s AND job = %(job)s AND lease_token = %(token)s

-- used --
-- Notes that memories were used: used memories decay more slowly.
INSERT INTO memory_usage AS u (tenant_id, user_id, memory_id)
SELECT tenant_id, user_id, memory_id FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = ANY(%(memories)s)
ORDER BY memory_id
ON CONFLICT (tenant_id, user_id, memory_id) DO UPDATE SET last_used_at = now(), uses = u.uses + 1

-- idle_sessions --
-- Sessions of the given users whose working memory has expired and that are not closed.
-- unscoped: the jobs go through the users of a tenant
SELECT user_id, session_id, agent_id, length FROM sessions
WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s)
    AND closed_at IS NULL AND expires_at <= now()
ORDER BY user_id, session_id

-- close_session --
-- Closes a session as it was read; no row if it continued meanwhile. Its working memory ends.
WITH state AS (
    DELETE FROM task_state
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
)
UPDATE sessions SET closed_at = now(), summary = '', summary_sources = '{}', summary_through = 0
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND length = %(length)s AND closed_at IS NULL AND expires_at <= now()
RETURNING session_id

-- replace_summaries --
-- Ends the summaries that an extractor made of a session, except the given memories.
UPDATE memories SET believed_to = GREATEST(believed_from, now())
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND generation = %(generation)s AND kind = 'summary' AND extractor = %(extractor)s
    AND believed_to IS NULL AND NOT (memory_id = ANY(%(kept)s))

-- duplicates --
-- Pairs of one user's current memories under one belief key that may say the same: an equal value,
-- or nearly the same vector.
-- unscoped: the jobs go through the users of a tenant
SELECT a.user_id, a.generation, a.belief_key, a.memory_id AS newer, b.memory_id AS older,
    a.text AS newer_text, b.text AS older_text, a.value AS newer_value, b.value AS older_value,
    COALESCE(1 - (va.vector <=> vb.vector), 0) AS cosine
FROM memories a
JOIN memories b ON b.tenant_id = a.tenant_id AND b.user_id = a.user_id
    AND b.generation = a.generation AND b.belief_key = a.belief_key AND b.kind = a.kind
    AND (b.occurred_at, b.memory_id) < (a.occurred_at, a.memory_id)
LEFT JOIN embeddings va ON va.tenant_id = a.tenant_id AND va.user_id = a.user_id
    AND va.generation = a.generation AND va.memory_id = a.memory_id
    AND va.embedder_id = %(embedder_id)s
LEFT JOIN embeddings vb ON vb.tenant_id = b.tenant_id AND vb.user_id = b.user_id
    AND vb.generation = b.generation AND vb.memory_id = b.memory_id
    AND vb.embedder_id = %(embedder_id)s
WHERE a.tenant_id = %(tenant)s AND a.user_id = ANY(%(users)s)
    AND a.generation IN (SELECT generation FROM generations WHERE state <> 'retired')
    AND a.attribute IS NOT NULL AND a.value IS NOT NULL AND b.value IS NOT NULL
    AND a.believed_to IS NULL AND a.archived_at IS NULL AND a.valid_to IS NULL
    AND b.believed_to IS NULL AND b.archived_at IS NULL AND b.valid_to IS NULL
    AND (lower(btrim(a.value)) = lower(btrim(b.value)) OR va.vector <=> vb.vector <= %(apart)s)
ORDER BY a.user_id, a.belief_key, a.occurred_at DESC, a.memory_id DESC

-- change_seqs --
-- The given users' change sequences.
-- unscoped: the jobs go through the users of a tenant
SELECT user_id, change_seq FROM users WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s)

-- unite_assertions --
-- Makes the assertions of some values of a belief key support another value of it.
UPDATE assertions
SET candidate = jsonb_set(candidate, '{said,value}', to_jsonb(%(value)s::text))
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND belief_key = %(belief_key)s AND candidate #>> '{said,value}' = ANY(%(values)s)

-- unite_evidence --
-- Gives a memory the evidence of others; a span counts once.
INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset, quote,
    stance, occurred_at, recorded_at, origin)
SELECT tenant_id, user_id, %(memory)s, interaction_id, start_offset, end_offset, quote, stance,
    occurred_at, recorded_at, origin
FROM evidence
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = ANY(%(older)s)
ON CONFLICT DO NOTHING

-- unite --
-- Closes memories in favour of another one, which inherits their support, their time, the least
-- trusted of their origins, and whether any was approved; confidence is the noisy-or of
-- `consolidation`, under its ceiling.
WITH closed AS (
    UPDATE memories SET believed_to = GREATEST(believed_from, now())
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = ANY(%(older)s)
        AND believed_to IS NULL
    RETURNING memory_id, confidence, support, valid_from, origin, payload
), sums AS (
    SELECT max(memory_id) AS newest, sum(support) AS support, min(valid_from) AS valid_from,
        exp(sum(ln(GREATEST(1 - confidence, 1e-9)))) AS doubt,
        CASE WHEN bool_and(origin IS NOT NULL)
            THEN max(array_position(%(origins)s::text[], origin)) END AS least,
        bool_or(payload @> '{"approved": true}') AS approved
    FROM closed
)
UPDATE memories m
SET supersedes = COALESCE(m.supersedes, s.newest), support = m.support + s.support,
    confidence = LEAST(1 - (1 - m.confidence) * s.doubt, GREATEST(%(ceiling)s, m.confidence)),
    valid_from = LEAST(m.valid_from, s.valid_from),
    origin = CASE WHEN m.origin IS NOT NULL AND s.least IS NOT NULL THEN
        (%(origins)s::text[])[GREATEST(array_position(%(origins)s::text[], m.origin), s.least)] END,
    payload = CASE WHEN s.approved THEN m.payload || '{"approved": true}' ELSE m.payload END
FROM sums s
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = %(memory)s
    AND s.newest IS NOT NULL
RETURNING m.memory_id

-- fading --
-- Memories whose importance has changed with time: the initial importance, halved for every
-- half-life since they were last supported or used, on the clock of the user's own events. Support
-- and use make the half-life longer, by the logarithm. Standing instructions, what an app asked to
-- remember, and memories of the highest importance never decay.
-- unscoped: the jobs go through the users of a tenant
WITH clock AS MATERIALIZED (
    SELECT user_id, max(last_at) AS newest FROM sessions
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) GROUP BY user_id
), aged AS (
    SELECT m.user_id, m.memory_id, m.importance, m.archived_at IS NOT NULL AS archived,
        COALESCE(m.initial_importance, m.importance) AS initial,
        m.support + COALESCE(u.uses, 0) AS uses,
        GREATEST(0, EXTRACT(epoch FROM c.newest
            - GREATEST(m.occurred_at, u.last_used_at, s.supported_at)) / 86400) AS days
    FROM memories m
    JOIN clock c USING (user_id)
    LEFT JOIN memory_usage u ON u.tenant_id = m.tenant_id AND u.user_id = m.user_id
        AND u.memory_id = m.memory_id
    LEFT JOIN LATERAL (
        SELECT max(e.occurred_at) AS supported_at FROM evidence e
        WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id AND e.memory_id = m.memory_id
            AND e.stance = 'supports'
    ) s ON true
    WHERE m.tenant_id = %(tenant)s AND m.user_id = ANY(%(users)s)
        AND m.generation IN (SELECT generation FROM generations WHERE state <> 'retired')
        AND m.believed_to IS NULL AND m.extractor <> 'explicit'
        AND split_part(COALESCE(m.attribute, ''), '.', 1) <> 'instruction'
), faded AS (
    SELECT user_id, memory_id, importance, archived, (initial * power(0.5, days::float8
        / (%(half_life)s * (1 + ln(GREATEST(uses, 1)::float8)))))::real AS strength
    FROM aged
    WHERE initial < %(lasting)s
)
SELECT user_id, memory_id, strength, strength < %(archive_below)s AS archive, archived FROM faded
WHERE abs(strength - importance) > 0.005 OR archived <> (strength < %(archive_below)s)

-- fade --
-- Sets the importance of memories, and archives them or brings them back.
-- unscoped: the jobs go through the users of a tenant
UPDATE memories m
SET initial_importance = COALESCE(m.initial_importance, m.importance), importance = r.strength,
    archived_at = CASE WHEN r.archive THEN COALESCE(m.archived_at, now()) END
FROM unnest(%(users)s::text[], %(memories)s::bigint[], %(strengths)s::real[], %(archives)s::bool[])
    AS r(user_id, memory_id, strength, archive)
WHERE m.tenant_id = %(tenant)s AND m.user_id = r.user_id AND m.memory_id = r.memory_id
    AND m.believed_to IS NULL

-- expired --
-- How many interactions and closed memories of the given users are older than the policy allows.
-- unscoped: the jobs go through the users of a tenant
SELECT user_id, sum(interactions)::bigint AS interactions, sum(memories)::bigint AS memories
FROM (
    SELECT user_id, count(*) AS interactions, 0 AS memories FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s)
        AND recorded_at < now() - make_interval(days => %(interaction_days)s)
    GROUP BY user_id
    UNION ALL
    SELECT user_id, 0, count(*) FROM memories
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s)
        AND believed_to < now() - make_interval(days => %(memory_days)s)
    GROUP BY user_id
) e
GROUP BY user_id ORDER BY user_id

-- expired_ids --
-- A user's interactions older than the policy allows, oldest first, and whether they are retracted.
SELECT interaction_id, retracted_at IS NOT NULL AS retracted FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND recorded_at < now() - make_interval(days => %(interaction_days)s)
ORDER BY position LIMIT %(limit)s

-- drop_verbatim --
-- Removes memories of the given kinds that rest on the given interactions: those that repeat them.
DELETE FROM memories m
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.kind = ANY(%(kinds)s)
    AND EXISTS (SELECT FROM evidence e
                WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s
                    AND e.memory_id = m.memory_id AND e.interaction_id = ANY(%(ids)s))
RETURNING m.memory_id

-- strip_evidence --
-- Removes the quotes of the given interactions from the remaining evidence, assertions and rolling
-- summaries.
WITH quoted AS (
    UPDATE evidence SET quote = ''
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
), summed AS (
    UPDATE sessions SET summary = '', summary_sources = '{}', summary_through = 0
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND summary <> ''
        AND session_id IN (SELECT session_id FROM interactions
                           WHERE tenant_id = %(tenant)s AND user_id = %(user)s
                               AND interaction_id = ANY(%(ids)s))
)
UPDATE assertions a
SET candidate = jsonb_set(candidate, '{said,evidence}', (
    SELECT COALESCE(jsonb_agg(CASE WHEN item->>'interaction_id' = ANY(%(ids)s)
                                   THEN jsonb_set(item, '{quote}', '""') ELSE item END), '[]')
    FROM jsonb_array_elements(candidate #> '{said,evidence}') AS item))
WHERE a.tenant_id = %(tenant)s AND a.user_id = %(user)s AND a.interaction_ids && %(ids)s

-- purge_closed --
-- Deletes memories that have been closed for longer than the policy allows.
DELETE FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND believed_to < now() - make_interval(days => %(memory_days)s)
RETURNING memory_id

-- pages --
-- How many rows the given users have in memories and embeddings, on how many pages they lie, and on
-- how many they would fit.
-- unscoped: the jobs go through the users of a tenant
WITH m AS (
    SELECT user_id, count(*) AS rows, count(DISTINCT (ctid::text::point)[0]) AS pages,
        sum(pg_column_size(memories.*) + 28) AS bytes
    FROM memories WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) GROUP BY user_id
), v AS (
    SELECT user_id, count(*) AS rows, count(DISTINCT (ctid::text::point)[0]) AS pages,
        sum(pg_column_size(embeddings.*) + 28) AS bytes
    FROM embeddings WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) GROUP BY user_id
)
SELECT user_id, m.rows, m.pages + COALESCE(v.pages, 0) AS pages,
    (ceil(m.bytes / 8168.0) + COALESCE(ceil(v.bytes / 8168.0), 0))::bigint AS fitting
FROM m LEFT JOIN v USING (user_id)
ORDER BY user_id

-- lock_users --
-- Keeps every other writer away from the given users until the transaction ends.
-- unscoped: the jobs go through the users of a tenant
SELECT user_id FROM users
WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s)
ORDER BY user_id FOR UPDATE

-- stage_memories --
-- Holds rows while they are moved together, until the commit; private to the connection.
-- unscoped: a temporary table
CREATE TEMPORARY TABLE moved_memories (LIKE memory.memories) ON COMMIT DROP

-- stage_embeddings --
-- See `stage_memories`.
-- unscoped: a temporary table
CREATE TEMPORARY TABLE moved_embeddings (LIKE memory.embeddings) ON COMMIT DROP

-- stage_evidence --
-- See `stage_memories`.
-- unscoped: a temporary table
CREATE TEMPORARY TABLE moved_evidence (LIKE memory.evidence) ON COMMIT DROP

-- stage_uses --
-- See `stage_memories`.
-- unscoped: a temporary table
CREATE TEMPORARY TABLE moved_uses (LIKE memory.memory_usage) ON COMMIT DROP

-- lift_children --
-- Takes evidence, vectors and uses of the given users out of their tables.
-- unscoped: the jobs go through the users of a tenant
WITH v AS (
    DELETE FROM embeddings WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) RETURNING *
), e AS (
    DELETE FROM evidence WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) RETURNING *
), u AS (
    DELETE FROM memory_usage WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) RETURNING *
), staged_v AS (
    INSERT INTO pg_temp.moved_embeddings (tenant_id, user_id, embedder_id, generation, memory_id,
        vector)
    SELECT tenant_id, user_id, embedder_id, generation, memory_id, vector FROM v
), staged_e AS (
    INSERT INTO pg_temp.moved_evidence (tenant_id, user_id, memory_id, interaction_id, start_offset,
        end_offset, quote, stance, occurred_at, recorded_at, origin)
    SELECT tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset, quote, stance,
        occurred_at, recorded_at, origin
    FROM e
)
INSERT INTO pg_temp.moved_uses (tenant_id, user_id, memory_id, last_used_at, uses)
SELECT tenant_id, user_id, memory_id, last_used_at, uses FROM u

-- lift_memories --
-- Takes the memories of the given users out of their table.
-- unscoped: the jobs go through the users of a tenant
WITH m AS (
    DELETE FROM memories WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) RETURNING *
)
INSERT INTO pg_temp.moved_memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text,
    attribute, value, subject, context, single_valued, agent_id, session_id, ordinal, ordinal_to,
    confidence, importance, initial_importance, support, tokens, payload, lexemes, occurred_at,
    valid_from, valid_to, believed_from, believed_to, supersedes, contested, archived_at, extractor,
    extractor_version, prompt, prompt_version, prompt_hash, model, origin)
SELECT tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute, value, subject,
    context, single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance,
    initial_importance, support, tokens, payload, lexemes, occurred_at, valid_from, valid_to,
    believed_from, believed_to, supersedes, contested, archived_at, extractor, extractor_version,
    prompt, prompt_version, prompt_hash, model, origin
FROM m

-- lay_memories --
-- Puts the memories back, one user's after the other's.
-- unscoped: rows of the users that were lifted
INSERT INTO memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute,
    value, subject, context, single_valued, agent_id, session_id, ordinal, ordinal_to, confidence,
    importance, initial_importance, support, tokens, payload, lexemes, occurred_at, valid_from,
    valid_to, believed_from, believed_to, supersedes, contested, archived_at, extractor,
    extractor_version, prompt, prompt_version, prompt_hash, model, origin)
SELECT tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute, value, subject,
    context, single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance,
    initial_importance, support, tokens, payload, lexemes, occurred_at, valid_from, valid_to,
    believed_from, believed_to, supersedes, contested, archived_at, extractor, extractor_version,
    prompt, prompt_version, prompt_hash, model, origin
FROM pg_temp.moved_memories ORDER BY user_id, memory_id

-- lay_embeddings --
-- Puts the vectors back in the order of their memories.
-- unscoped: rows of the users that were lifted
INSERT INTO embeddings (tenant_id, user_id, embedder_id, generation, memory_id, vector)
SELECT tenant_id, user_id, embedder_id, generation, memory_id, vector
FROM pg_temp.moved_embeddings ORDER BY user_id, embedder_id, memory_id

-- lay_evidence --
-- Puts the evidence back in the order of its memories.
-- unscoped: rows of the users that were lifted
INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset,
    quote, stance, occurred_at, recorded_at, origin)
SELECT tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset, quote, stance,
    occurred_at, recorded_at, origin
FROM pg_temp.moved_evidence ORDER BY user_id, memory_id

-- lay_uses --
-- Puts the uses back in the order of their memories.
-- unscoped: rows of the users that were lifted
INSERT INTO memory_usage (tenant_id, user_id, memory_id, last_used_at, uses)
SELECT tenant_id, user_id, memory_id, last_used_at, uses
FROM pg_temp.moved_uses ORDER BY user_id, memory_id
