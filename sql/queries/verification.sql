-- without_evidence --
-- Current memories without evidence.
-- unscoped: the jobs go through the users of a tenant
SELECT m.user_id, m.memory_id, m.generation FROM memories m
WHERE m.tenant_id = %(tenant)s AND m.user_id = ANY(%(users)s) AND m.believed_to IS NULL
    AND NOT EXISTS (SELECT FROM evidence e
                    WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id
                        AND e.memory_id = m.memory_id AND e.stance = 'supports')
ORDER BY m.user_id, m.memory_id

-- ordinal_gaps --
-- Sessions with an ordinal that neither an interaction nor a tombstone accounts for.
-- unscoped: the jobs go through the users of a tenant
WITH taken AS (
    SELECT user_id, session_id, ordinal FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s)
    UNION
    SELECT user_id, session_id, ordinal FROM tombstones
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) AND ordinal IS NOT NULL
)
SELECT s.user_id, s.session_id, s.length,
    count(t.ordinal) FILTER (WHERE t.ordinal <= s.length) AS accounted,
    COALESCE(max(t.ordinal), 0) AS last
FROM sessions s
LEFT JOIN taken t USING (user_id, session_id)
WHERE s.tenant_id = %(tenant)s AND s.user_id = ANY(%(users)s)
GROUP BY s.user_id, s.session_id, s.length
HAVING count(t.ordinal) FILTER (WHERE t.ordinal <= s.length) <> s.length
ORDER BY s.user_id, s.session_id

-- beyond_session --
-- Interactions beyond their session's length.
-- unscoped: the jobs go through the users of a tenant
SELECT i.user_id, i.session_id, max(i.ordinal) AS ordinal, max(s.length) AS length
FROM interactions i
LEFT JOIN sessions s USING (tenant_id, user_id, session_id)
WHERE i.tenant_id = %(tenant)s AND i.user_id = ANY(%(users)s)
    AND i.ordinal > COALESCE(s.length, 0)
GROUP BY i.user_id, i.session_id
ORDER BY i.user_id, i.session_id

-- behind_log --
-- Users whose next interaction would take a position that is taken.
-- unscoped: the jobs go through the users of a tenant
SELECT u.user_id, u.position, max(i.position) AS last
FROM users u JOIN interactions i USING (tenant_id, user_id)
WHERE u.tenant_id = %(tenant)s AND u.user_id = ANY(%(users)s)
GROUP BY u.user_id, u.position
HAVING u.position < max(i.position)
ORDER BY u.user_id

-- unaccounted --
-- Users with positions that neither an interaction nor a tombstone accounts for.
-- unscoped: the jobs go through the users of a tenant
SELECT u.user_id, u.position, COALESCE(i.kept, 0) AS kept, COALESCE(t.forgotten, 0) AS forgotten
FROM users u
LEFT JOIN (
    SELECT user_id, count(*) AS kept FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) GROUP BY user_id
) i USING (user_id)
LEFT JOIN (
    SELECT user_id, count(*) AS forgotten FROM tombstones
    WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) AND ordinal IS NOT NULL
    GROUP BY user_id
) t USING (user_id)
WHERE u.tenant_id = %(tenant)s AND u.user_id = ANY(%(users)s)
    AND u.position > COALESCE(i.kept, 0) + COALESCE(t.forgotten, 0)
ORDER BY u.user_id

-- repair_position --
-- Moves a user's position to the newest interaction, so that the next does not take its place.
UPDATE users SET position = GREATEST(position,
    (SELECT COALESCE(max(position), 0) FROM interactions
     WHERE tenant_id = %(tenant)s AND user_id = %(user)s))
WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- overlapping --
-- Two overlapping current values of a single-valued attribute, unless they are in an open conflict
-- or a verdict found that both hold.
-- unscoped: the jobs go through the users of a tenant
SELECT a.user_id, a.memory_id AS older, b.memory_id AS newer, a.valid_from AS older_from,
    b.valid_from AS newer_from, a.attribute
FROM memories a
JOIN memories b ON b.tenant_id = a.tenant_id AND b.user_id = a.user_id
    AND b.generation = a.generation AND b.belief_key = a.belief_key
    AND (a.valid_from, a.memory_id) < (b.valid_from, b.memory_id)
    AND b.valid_from < COALESCE(a.valid_to, 'infinity')
WHERE a.tenant_id = %(tenant)s AND a.user_id = ANY(%(users)s) AND a.attribute IS NOT NULL
    AND a.single_valued AND b.single_valued AND a.believed_to IS NULL AND b.believed_to IS NULL
    AND a.value IS DISTINCT FROM b.value
    AND NOT (a.value = ANY(b.contested) OR b.value = ANY(a.contested))
    AND NOT COALESCE(a.payload->'decided' = b.payload->'decided'
                     AND a.payload#>'{decided,holds}' @> jsonb_build_array(a.value, b.value), false)
    AND COALESCE(b.valid_to, 'infinity') > b.valid_from
ORDER BY a.user_id, a.memory_id, b.memory_id

-- end_older --
-- Ends the older of two overlapping values where the newer begins, or closes it if both begin
-- there.
UPDATE memories
SET valid_to = CASE WHEN valid_from < %(at)s THEN %(at)s ELSE valid_to END,
    believed_to = CASE WHEN valid_from < %(at)s THEN NULL ELSE GREATEST(believed_from, now()) END
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory)s
    AND believed_to IS NULL

-- stray_vectors --
-- Vectors without a memory.
-- unscoped: the jobs go through the users of a tenant
SELECT v.user_id, v.memory_id FROM embeddings v
WHERE v.tenant_id = %(tenant)s AND v.user_id = ANY(%(users)s)
    AND NOT EXISTS (SELECT FROM memories m
                    WHERE m.tenant_id = v.tenant_id AND m.user_id = v.user_id
                        AND m.memory_id = v.memory_id)
ORDER BY v.user_id, v.memory_id

-- delete_vector --
-- Removes one memory's vectors.
DELETE FROM embeddings
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory)s

-- missing_vectors --
-- Current memories of generations that are not retired without a vector of the serving embedder.
-- unscoped: the jobs go through the users of a tenant
SELECT m.user_id, m.memory_id, m.text FROM memories m
WHERE m.tenant_id = %(tenant)s AND m.user_id = ANY(%(users)s)
    AND m.generation IN (SELECT generation FROM generations WHERE state <> 'retired')
    AND m.believed_to IS NULL AND m.archived_at IS NULL
    AND NOT EXISTS (SELECT FROM embeddings v
                    WHERE v.tenant_id = m.tenant_id AND v.user_id = m.user_id
                        AND v.generation = m.generation AND v.memory_id = m.memory_id
                        AND v.embedder_id = %(embedder_id)s)
ORDER BY m.user_id, m.memory_id

-- wrong_blocks --
-- Blocks that differ from the memories; recall believes them.
-- unscoped: the jobs go through the users of a tenant
SELECT b.user_id, b.generation, b.block, 256 * b.block AS first, 256 * b.block + 255 AS last
FROM recall_blocks b
CROSS JOIN LATERAL block_contents(b.tenant_id, b.user_id, b.generation, b.block) w
WHERE b.tenant_id = %(tenant)s AND b.user_id = ANY(%(users)s)
    AND (b.members, b.postings) IS DISTINCT FROM (w.members, w.postings)
ORDER BY b.user_id, b.generation, b.block

-- wrong_collective_blocks --
-- As `wrong_blocks`, of the collective tier.
-- unscoped: the collective tier belongs to the tenant
SELECT b.block, 256 * b.block AS first, 256 * b.block + 255 AS last
FROM collective_blocks b
LEFT JOIN LATERAL collective_block_contents(b.tenant_id, b.block) w ON true
WHERE b.tenant_id = %(tenant)s
    AND (b.member_count, b.word_total, b.word_counts, b.postings)
        IS DISTINCT FROM (w.member_count, w.word_total, w.word_counts, w.postings)
ORDER BY b.block

-- delete_collective_block --
-- As `delete_block`, of the collective tier.
-- unscoped: the collective tier belongs to the tenant
DELETE FROM collective_blocks WHERE tenant_id = %(tenant)s AND block = %(block)s

-- delete_block --
-- Deletes a block; its memories are read row by row until it is built again.
DELETE FROM recall_blocks
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND block = %(block)s

-- restore_vector --
-- Adds a vector that was missing, if its memory still says what was embedded.
INSERT INTO embeddings (tenant_id, user_id, embedder_id, generation, memory_id, vector)
SELECT tenant_id, user_id, %(embedder_id)s, generation, memory_id, %(vector)s FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory)s
    AND text = %(text)s
ON CONFLICT DO NOTHING

-- wrong_quotes --
-- Evidence that differs from its interaction at that place. Retention empties quotes and leaves a
-- tombstone; those are correct.
-- unscoped: the jobs go through the users of a tenant
SELECT e.user_id, e.memory_id, e.interaction_id, e.start_offset, i.interaction_id IS NULL AS lost
FROM evidence e
JOIN memories m ON m.tenant_id = e.tenant_id AND m.user_id = e.user_id
    AND m.memory_id = e.memory_id
LEFT JOIN interactions i ON i.tenant_id = e.tenant_id AND i.user_id = e.user_id
    AND i.interaction_id = e.interaction_id
WHERE e.tenant_id = %(tenant)s AND e.user_id = ANY(%(users)s)
    AND CASE WHEN i.interaction_id IS NOT NULL
             THEN NOT repeats(e.quote,
                substr(i.content, e.start_offset + 1, e.end_offset - e.start_offset))
             ELSE e.quote <> '' OR NOT EXISTS (
                SELECT FROM tombstones t
                WHERE t.tenant_id = e.tenant_id AND t.user_id = e.user_id
                    AND t.id_digest = sha256(convert_to(e.interaction_id, 'UTF8'))) END
ORDER BY e.user_id, e.memory_id, e.interaction_id

-- returned --
-- Forgotten interactions that are in the log again.
-- unscoped: the jobs go through the users of a tenant
SELECT i.user_id, i.interaction_id FROM interactions i
JOIN tombstones t ON t.tenant_id = i.tenant_id AND t.user_id = i.user_id
    AND t.id_digest = sha256(convert_to(i.interaction_id, 'UTF8'))
WHERE i.tenant_id = %(tenant)s AND i.user_id = ANY(%(users)s)
ORDER BY i.user_id, i.interaction_id

-- ahead --
-- Sessions with more extracted than they hold.
-- unscoped: the jobs go through the users of a tenant
SELECT p.user_id, p.session_id, p.generation, p.ordinal, COALESCE(s.length, 0) AS length
FROM session_progress p
LEFT JOIN sessions s USING (tenant_id, user_id, session_id)
WHERE p.tenant_id = %(tenant)s AND p.user_id = ANY(%(users)s) AND p.ordinal > COALESCE(s.length, 0)
ORDER BY p.user_id, p.session_id, p.generation

-- step_back --
-- Moves extraction back to the end of a session that it had run ahead of.
UPDATE session_progress p
SET ordinal = COALESCE((SELECT length FROM sessions s
                        WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s
                            AND s.session_id = %(session)s), 0)
WHERE p.tenant_id = %(tenant)s AND p.user_id = %(user)s AND p.session_id = %(session)s
    AND p.generation = %(generation)s

-- close_memory --
-- Ends one memory.
UPDATE memories SET believed_to = GREATEST(believed_from, now())
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory)s
    AND believed_to IS NULL

-- unsupported --
-- Collective memories that claim more than their supporters support, with the supporters recounted
-- among current memories.
-- unscoped: who supports what is counted over the users of a tenant
SELECT c.memory_id, c.support AS published, c.people, c.evidence_kinds, count(s.user_id) AS listed,
    count(h.held) AS supporters, collective_k() AS k,
    collective_step(c.belief_key, count(h.held), c.support) AS step
FROM collective_memories c
LEFT JOIN collective_support s USING (tenant_id, memory_id)
LEFT JOIN LATERAL (
    SELECT true AS held
    FROM serving_generation(s.tenant_id, s.user_id) g
    JOIN memories m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
        AND m.generation = g.generation
    WHERE m.kind = c.kind AND m.attribute = c.attribute AND collective_value(m.value) = c.value
        AND m.context IS NOT DISTINCT FROM c.context AND m.subject IS NULL
        AND m.agent_id IS NULL AND m.value IS NOT NULL AND length(m.attribute) <= 100
        AND m.believed_to IS NULL AND m.archived_at IS NULL
    LIMIT 1
) h ON true
WHERE c.tenant_id = %(tenant)s AND c.believed_to IS NULL
GROUP BY c.tenant_id, c.memory_id
HAVING count(h.held) < GREATEST(c.support, collective_k()) OR count(h.held) <> count(s.user_id)
ORDER BY c.memory_id

-- drop_support --
-- Removes the supporters of a collective memory who no longer support it.
-- unscoped: who supports what is counted over the users of a tenant
DELETE FROM collective_support s USING collective_memories c
WHERE s.tenant_id = %(tenant)s AND s.memory_id = %(memory)s
    AND c.tenant_id = s.tenant_id AND c.memory_id = s.memory_id
    AND NOT EXISTS (
        SELECT FROM serving_generation(s.tenant_id, s.user_id) g
        JOIN memories m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id
            AND m.generation = g.generation
        WHERE m.kind = c.kind AND m.attribute = c.attribute
            AND collective_value(m.value) = c.value AND m.context IS NOT DISTINCT FROM c.context
            AND m.subject IS NULL AND m.agent_id IS NULL
            AND m.believed_to IS NULL AND m.archived_at IS NULL)

-- collective_without_vector --
-- Collective memories without a vector of the serving embedder.
-- unscoped: the collective tier belongs to the tenant
SELECT c.memory_id, c.text FROM collective_memories c
WHERE c.tenant_id = %(tenant)s AND c.believed_to IS NULL
    AND NOT EXISTS (SELECT FROM collective_embeddings v
                    WHERE v.tenant_id = c.tenant_id AND v.memory_id = c.memory_id
                        AND v.embedder_id = %(embedder_id)s)
ORDER BY c.memory_id
