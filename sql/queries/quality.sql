-- turn --
-- The tenant's next users whose memories are to be checked, a few each time: those after the last one
-- that `turned` noted, and after the last of all the first again.
-- unscoped: goes through the users of a tenant
WITH place AS (
    SELECT cursor FROM job_progress WHERE tenant_id = %(tenant)s AND job = 'quality'
), next AS MATERIALIZED (
    SELECT user_id FROM users
    WHERE tenant_id = %(tenant)s AND user_id > COALESCE((SELECT cursor FROM place), '')
    ORDER BY user_id LIMIT %(limit)s
), first AS MATERIALIZED (
    SELECT user_id FROM users
    WHERE tenant_id = %(tenant)s AND NOT EXISTS (SELECT FROM next)
    ORDER BY user_id LIMIT %(limit)s
)
SELECT user_id FROM next UNION ALL SELECT user_id FROM first
ORDER BY user_id

-- turned --
-- Notes the last user of a turn.
-- unscoped: the position of a tenant
INSERT INTO job_progress (tenant_id, job, cursor) VALUES (%(tenant)s, 'quality', %(last)s)
ON CONFLICT (tenant_id, job) DO UPDATE SET cursor = excluded.cursor, finished_at = now()

-- sample --
-- Some current memories of the given users, each in the generation that serves the user: those
-- after a random position, going round. It reads at most `within` rows of a user.
-- unscoped: the users are those whose turn it is in the tenant
SELECT u.user_id, m.memory_id
FROM users u
CROSS JOIN LATERAL serving_generation(u.tenant_id, u.user_id) s
CROSS JOIN LATERAL (SELECT (u.change_seq * random())::bigint AS place) drawn
CROSS JOIN LATERAL (
    SELECT memory_id
    FROM (
        (SELECT 1 AS part, memory_id, generation, believed_to FROM memories
         WHERE tenant_id = u.tenant_id AND user_id = u.user_id AND memory_id > drawn.place
         ORDER BY memory_id LIMIT %(within)s)
        UNION ALL
        (SELECT 2, memory_id, generation, believed_to FROM memories
         WHERE tenant_id = u.tenant_id AND user_id = u.user_id AND memory_id <= drawn.place
         ORDER BY memory_id LIMIT %(within)s)
    ) near
    WHERE generation = s.generation AND believed_to IS NULL
    ORDER BY part, memory_id LIMIT %(limit)s
) m
WHERE u.tenant_id = %(tenant)s AND u.user_id = ANY(%(users)s)

-- checked --
-- The results of checking the given memories, by generation and maker. A quote stands if its
-- interaction has it at that place and was not retracted; it is purged if retention took the
-- interaction, which is correct. A memory is sound if all its quotes stand and share a word with
-- it, if they have any.
-- unscoped: names each memory by its user
SELECT generation, extractor, extractor_version, prompt, prompt_version, count(*) AS memories,
    sum(quotes)::bigint AS quotes, sum(standing)::bigint AS standing,
    sum(purged)::bigint AS purged,
    count(*) FILTER (WHERE quotes > 0 AND standing + purged = quotes AND shares) AS sound
FROM (
    SELECT m.generation, m.extractor, m.extractor_version, m.prompt, m.prompt_version, e.quotes,
        e.standing, e.purged, e.said = '' OR tsvector_to_array(m.lexemes)
            && tsvector_to_array(to_tsvector(%(language)s::regconfig, e.said)) AS shares
    FROM unnest(%(users)s::text[], %(memories)s::bigint[]) AS a(user_id, memory_id)
    JOIN memories m ON m.tenant_id = %(tenant)s AND m.user_id = a.user_id
        AND m.memory_id = a.memory_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS quotes,
            count(*) FILTER (WHERE i.retracted_at IS NULL AND repeats(e.quote,
                substr(i.content, e.start_offset + 1, e.end_offset - e.start_offset))) AS standing,
            count(*) FILTER (WHERE i.interaction_id IS NULL AND e.quote = '' AND EXISTS (
                SELECT FROM tombstones t
                WHERE t.tenant_id = m.tenant_id AND t.user_id = m.user_id
                    AND t.id_digest = sha256(convert_to(e.interaction_id, 'UTF8')))) AS purged,
            COALESCE(string_agg(e.quote, ' ') FILTER (WHERE e.stance = 'supports'), '') AS said
        FROM evidence e
        LEFT JOIN interactions i ON i.tenant_id = e.tenant_id AND i.user_id = e.user_id
            AND i.interaction_id = e.interaction_id
        WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id AND e.memory_id = m.memory_id
    ) e
) c
GROUP BY generation, extractor, extractor_version, prompt, prompt_version
ORDER BY generation, extractor, extractor_version, prompt, prompt_version
