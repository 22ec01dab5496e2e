-- candidates --
-- The tenant's collective memories that are near a question by meaning or share words with it, with
-- both scores: the exact cosine, and BM25 over the question's lexemes, OR-ed, each counted once a
-- memory. Of those that blocks hold no row is read unless it is among the best.
-- unscoped: the collective tier belongs to the tenant; row-level security binds it
-- one plan: planning takes long, and there is nothing to choose
WITH terms AS MATERIALIZED (
    SELECT lexeme,
        ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM unnest(tsvector_to_array(to_tsvector(%(language)s::regconfig, %(text)s))) AS lexeme
), blocks AS MATERIALIZED (
    SELECT block, member_count, word_total, word_counts,
        ts_filter(setweight(postings, 'A', ARRAY(SELECT lexeme FROM terms)), '{a}') AS held
    FROM collective_blocks
    WHERE tenant_id = %(tenant)s AND postings IS NOT NULL AND %(kinds)s::text[] IS NULL
), gaps AS MATERIALIZED (
    SELECT first, upto FROM (
        SELECT 256 * (block + 1) AS first,
            COALESCE(256 * lead(block) OVER (ORDER BY block), 9223372036854775807) AS upto
        FROM blocks
        UNION ALL
        SELECT 0, COALESCE(256 * min(block), 9223372036854775807) FROM blocks
    ) g
    WHERE first < upto
), loose AS MATERIALIZED (
    SELECT memory_id, words, matched FROM gaps CROSS JOIN LATERAL (
        SELECT memory_id, length(lexemes) AS words,
            CASE WHEN lexemes @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM terms)
                THEN lexemes END AS matched
        FROM collective_memories
        WHERE tenant_id = %(tenant)s AND memory_id >= first AND memory_id < upto
            AND believed_to IS NULL AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
        OFFSET 0  -- so that a match is looked for once, not once for each use
    ) m
), corpus AS MATERIALIZED (
    SELECT sum(n)::float8 AS n, GREATEST(sum(words) / NULLIF(sum(n), 0), 1)::float8 AS mean_words
    FROM (
        SELECT sum(member_count) AS n, sum(word_total) AS words FROM blocks
        UNION ALL
        SELECT count(*), sum(words) FROM loose
    ) c
), hits AS MATERIALIZED (
    SELECT 256 * b.block + place - 1 AS memory_id, b.word_counts[place]::float8 AS words, h.lexeme
    FROM blocks b CROSS JOIN LATERAL unnest(b.held) h CROSS JOIN LATERAL unnest(h.positions) place
    UNION ALL
    SELECT l.memory_id, l.words, t.lexeme FROM loose l JOIN terms t ON l.matched @@ t.query
), rarity AS MATERIALIZED (
    SELECT lexeme, ln(1 + (n - holding + 0.5) / (holding + 0.5)) AS idf
    FROM (SELECT lexeme, count(*) AS holding FROM hits GROUP BY lexeme) h CROSS JOIN corpus
), lexical AS MATERIALIZED (
    SELECT memory_id,
        sum(idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * words / mean_words))) AS bm25
    FROM hits JOIN rarity USING (lexeme) CROSS JOIN corpus
    GROUP BY memory_id
), near AS MATERIALIZED (
    SELECT memory_id, 1 - (vector <=> %(vector)s) AS dense
    FROM collective_embeddings
    WHERE tenant_id = %(tenant)s AND embedder_id = %(embedder_id)s
        AND (vector <=> %(vector)s <= 1 - %(nearest)s::float8
             OR memory_id IN (SELECT memory_id FROM lexical))
)
SELECT c.memory_id, c.kind, c.text, c.attribute, c.value, c.context, c.confidence, c.support,
    c.people, c.evidence_kinds, c.tokens, c.valid_from, c.valid_to, c.believed_from, c.believed_to,
    c.extractor, c.extractor_version,
    b.dense::real AS dense, b.bm25::real AS bm25
FROM (
    SELECT memory_id, COALESCE(dense, 0) AS dense, COALESCE(bm25, 0) AS bm25,
        COALESCE(dense, 0) + COALESCE(bm25, 0) / (COALESCE(bm25, 0) + 2) AS score
    FROM near FULL JOIN lexical USING (memory_id)
    WHERE bm25 IS NOT NULL OR dense >= %(nearest)s::float8
    ORDER BY score DESC, memory_id
) b
CROSS JOIN LATERAL (
    SELECT memory_id, kind, text, attribute, value, context, confidence, support, people,
        evidence_kinds, tokens, valid_from, valid_to, believed_from, believed_to, extractor,
        extractor_version
    FROM collective_memories
    WHERE tenant_id = %(tenant)s AND memory_id = b.memory_id AND believed_to IS NULL
        AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
    OFFSET 0  -- so that only the best are looked up, in their order
) c
ORDER BY b.score DESC, b.memory_id
LIMIT %(limit)s

-- memory --
-- One collective memory.
-- unscoped: the collective tier belongs to the tenant; row-level security binds it
SELECT memory_id, kind, text, attribute, value, context, confidence, support, people,
    evidence_kinds, tokens, valid_from, valid_to, believed_from, believed_to, extractor,
    extractor_version
FROM collective_memories
WHERE tenant_id = %(tenant)s AND memory_id = %(memory)s AND believed_to IS NULL

-- withdraw_support --
-- Withdraws what the bound user no longer supports; see the function.
-- unscoped: the function acts on the bound tenant and user
SELECT withdraw_support()

-- generation --
-- The live generation, and how many supporters the tenant asks for.
-- unscoped: generations belong to no tenant
SELECT generation, collective_k() AS k FROM generations WHERE state = 'live'

-- attributes --
-- The tenant's next attributes of which some user has a promotable memory, in any generation that
-- serves users, in order.
-- unscoped: promotion counts over the users of a tenant; names attributes, no user
WITH RECURSIVE found AS (
    SELECT %(after)s::text AS attribute
    UNION ALL
    SELECT (SELECT min(following.attribute)
            FROM generations g
            CROSS JOIN LATERAL (
                SELECT m.attribute FROM memories m
                WHERE m.tenant_id = %(tenant)s AND m.generation = g.generation
                    AND m.attribute > found.attribute AND m.believed_to IS NULL
                    AND m.archived_at IS NULL AND m.subject IS NULL AND m.agent_id IS NULL
                    AND m.value IS NOT NULL AND length(m.attribute) <= 100
                ORDER BY m.attribute LIMIT 1
            ) following
            WHERE g.percent > 0)
    FROM found WHERE found.attribute IS NOT NULL
)
SELECT attribute FROM found WHERE attribute IS NOT NULL OFFSET 1 LIMIT %(limit)s

-- groups --
-- What at least k users of the tenant hold of the given attributes, each in the generation that
-- serves the user, with one supporter for each independent source, and the count to publish. A user
-- whose evidence is nothing but what others have as well (the same event imported twice, a long
-- text copied) shares one count with them; evidence of sources that are not trusted, of retrieved
-- content and of private turns counts for nothing, and neither does what a user's own memories
-- conflict with, or what others than the user, the app or a system of record said of the user; an
-- agent's own acts count for procedures. What was withdrawn lately is not published again, and for twice as long each time, since
-- each time draws new thresholds.
-- unscoped: promotion counts over the users of a tenant
WITH held AS MATERIALIZED (
    SELECT DISTINCT ON (m.user_id, k.belief_key) m.user_id, m.memory_id, m.kind, m.attribute,
        k.value, NULLIF(m.context, '') AS context, k.belief_key
    FROM generations g
    JOIN memories m ON m.generation = g.generation
    CROSS JOIN LATERAL serving_generation(m.tenant_id, m.user_id) s
    CROSS JOIN LATERAL (
        SELECT collective_value(m.value) AS value, collective_key(
            m.kind, m.attribute, collective_value(m.value), NULLIF(m.context, '')) AS belief_key
        OFFSET 0
    ) k
    WHERE g.percent > 0 AND s.generation = m.generation AND m.tenant_id = %(tenant)s
        AND m.attribute = ANY(%(attributes)s) AND m.kind = ANY(%(kinds)s)
        AND m.believed_to IS NULL AND m.archived_at IS NULL AND m.valid_to IS NULL
        AND m.subject IS NULL AND m.agent_id IS NULL AND m.value IS NOT NULL
        AND length(m.attribute) <= 100 AND m.contested = '{}'
        AND (m.origin IS NULL OR m.origin = ANY(%(trusted)s)
            OR (m.kind = 'procedure' AND m.origin = 'agent'))
    ORDER BY m.user_id, k.belief_key, m.memory_id
), wide AS MATERIALIZED (
    SELECT belief_key, min(kind) AS kind, min(attribute) AS attribute, min(value) AS value,
        min(context) AS context
    FROM held GROUP BY belief_key HAVING count(*) >= %(k)s
), sources AS MATERIALIZED (
    SELECT h.belief_key, h.user_id, h.memory_id, i.kind AS evidence_kind,
        CASE WHEN i.interaction_id IS NULL THEN sha256(convert_to(e.interaction_id, 'UTF8'))
             WHEN length(i.content) >= 60 THEN sha256(convert_to(i.content, 'UTF8'))
             ELSE i.content_hash END AS source
    FROM held h
    JOIN wide USING (belief_key)
    JOIN evidence e ON e.tenant_id = %(tenant)s AND e.user_id = h.user_id
        AND e.memory_id = h.memory_id AND e.stance = 'supports'
    LEFT JOIN interactions i ON i.tenant_id = e.tenant_id AND i.user_id = e.user_id
        AND i.interaction_id = e.interaction_id
    WHERE i.interaction_id IS NULL
        OR NOT (i.source = ANY(%(untrusted)s) OR i.kind = 'retrieval' OR i.private)
), owners AS MATERIALIZED (
    SELECT belief_key, source, count(DISTINCT user_id) AS users FROM sources
    GROUP BY belief_key, source
), users_of AS MATERIALIZED (
    SELECT belief_key, user_id, min(memory_id) AS memory_id,
        CASE WHEN bool_or(o.users = 1) THEN convert_to(user_id, 'UTF8')
             -- There is a min of bytea from Postgres 18 on.
             ELSE decode(min(encode(source, 'hex')), 'hex') END AS unit
    FROM sources JOIN owners o USING (belief_key, source)
    GROUP BY belief_key, user_id
), supporters AS MATERIALIZED (
    SELECT DISTINCT ON (belief_key, unit) belief_key, user_id, memory_id FROM users_of
    ORDER BY belief_key, unit, user_id
), kinds AS MATERIALIZED (
    SELECT belief_key, array_agg(evidence_kind ORDER BY evidence_kind) AS evidence_kinds
    FROM (
        SELECT belief_key, evidence_kind FROM sources WHERE evidence_kind IS NOT NULL
        GROUP BY belief_key, evidence_kind HAVING count(DISTINCT user_id) >= %(k)s
    ) k
    GROUP BY belief_key
), counted AS MATERIALIZED (
    SELECT belief_key, count(*) AS supporters, array_agg(user_id ORDER BY user_id) AS users,
        array_agg(memory_id ORDER BY user_id) AS memories
    FROM supporters GROUP BY belief_key HAVING count(*) >= %(k)s
)
SELECT c.belief_key, c.supporters, c.users, c.memories, w.kind, w.attribute, w.value, w.context, k.evidence_kinds, m.memory_id,
    m.support AS published, m.people, m.text, m.evidence_kinds AS shown_kinds,
    CASE WHEN m.memory_id IS NULL
              AND d.withdrawn_at > now() - make_interval(days => %(cooldown)s) * 2 ^ (d.withdrawal_count - 1)
         THEN NULL
         ELSE collective_step(c.belief_key, c.supporters, COALESCE(m.support, 0)) END AS step
FROM counted c
JOIN wide w USING (belief_key)
LEFT JOIN kinds k USING (belief_key)
LEFT JOIN collective_memories m ON m.tenant_id = %(tenant)s AND m.belief_key = c.belief_key
    AND m.believed_to IS NULL
LEFT JOIN collective_withdrawals d ON d.tenant_id = %(tenant)s
    AND d.belief_digest = collective_digest(c.belief_key)
ORDER BY w.attribute, w.kind, w.value, w.context

-- published --
-- What the collective tier says about attributes after one and up to another; NULL: to the end.
-- unscoped: the collective tier belongs to the tenant
SELECT memory_id, belief_key, text FROM collective_memories
WHERE tenant_id = %(tenant)s AND believed_to IS NULL
    AND attribute > %(after)s AND (%(upto)s::text IS NULL OR attribute <= %(upto)s)
ORDER BY memory_id

-- named_words --
-- Which of the given words are names here: of people who speak, whom memories are about, who gave
-- their name, or a part of few user ids. What k user ids share ("user", "sales") names nobody.
-- unscoped: looks for names in every user's rows, to keep them out of the collective tier
WITH RECURSIVE actors AS (
    (SELECT actor FROM interactions WHERE tenant_id = %(tenant)s AND actor IS NOT NULL
     ORDER BY actor LIMIT 1)
    UNION ALL
    SELECT (SELECT i.actor FROM interactions i
            WHERE i.tenant_id = %(tenant)s AND i.actor > actors.actor ORDER BY i.actor LIMIT 1)
    FROM actors WHERE actors.actor IS NOT NULL
), subjects AS (
    (SELECT subject FROM memories WHERE tenant_id = %(tenant)s AND subject IS NOT NULL
         AND length(subject) <= 200
     ORDER BY subject LIMIT 1)
    UNION ALL
    SELECT (SELECT m.subject FROM memories m
            WHERE m.tenant_id = %(tenant)s AND m.subject > subjects.subject
                AND length(m.subject) <= 200
            ORDER BY m.subject LIMIT 1)
    FROM subjects WHERE subjects.subject IS NOT NULL
), written AS (
    SELECT actor AS name FROM actors
    UNION ALL
    SELECT subject FROM subjects
    UNION ALL
    SELECT value FROM memories
    WHERE tenant_id = %(tenant)s
        AND generation IN (SELECT generation FROM generations WHERE percent > 0)
        AND attribute = ANY(%(name_attributes)s) AND believed_to IS NULL AND archived_at IS NULL
        AND subject IS NULL AND agent_id IS NULL AND value IS NOT NULL AND length(attribute) <= 100
)
SELECT word FROM written, regexp_split_to_table(lower(name), '[[:space:][:digit:][:punct:]]+') AS word
WHERE word = ANY(%(words)s)
UNION
SELECT word FROM users, regexp_split_to_table(lower(user_id), '[[:space:][:digit:][:punct:]]+') AS word
WHERE tenant_id = %(tenant)s AND word = ANY(%(words)s)
GROUP BY word HAVING count(*) < %(k)s

-- lock_supporters --
-- The given users' memories that are still current, locked so that forgetting waits for the count.
-- unscoped: promotion counts over the users of a tenant
SELECT m.user_id, m.memory_id
FROM unnest(%(users)s::text[], %(memories)s::bigint[]) AS s(user_id, memory_id)
JOIN memories m ON m.tenant_id = %(tenant)s AND m.user_id = s.user_id
    AND m.memory_id = s.memory_id AND m.believed_to IS NULL AND m.archived_at IS NULL
ORDER BY m.user_id, m.memory_id
FOR KEY SHARE OF m

-- lock_tenant --
-- Locks the tenant's collective tier for changes, and returns ids for its new memories.
-- unscoped: the row belongs to the tenant
UPDATE tenants SET change_seq = change_seq + %(ids)s WHERE tenant_id = %(tenant)s
RETURNING change_seq - %(ids)s AS change_seq

-- publish --
-- Adds collective memories. They are dated by the day, so that no supporter's hour shows.
-- unscoped: the collective tier belongs to the tenant
INSERT INTO collective_memories (tenant_id, memory_id, generation, belief_key, kind, text,
    attribute, value, context, confidence, support, tokens, lexemes, valid_from, believed_from,
    extractor, extractor_version, people, evidence_kinds)
SELECT %(tenant)s, r.memory_id, %(generation)s, decode(r.belief_key, 'hex'), r.kind, r.text,
    r.attribute, r.value, r.context, r.confidence, r.support, r.tokens,
    to_tsvector(%(language)s::regconfig, concat_ws(' ', r.text, replace(r.attribute, '_', ' '))),
    date_trunc('day', now()), date_trunc('day', now()), r.extractor, r.extractor_version, r.people,
    r.evidence_kinds
FROM jsonb_to_recordset(%(rows)s) AS r(memory_id bigint, belief_key text, kind text, text text,
    attribute text, value text, context text, confidence real, support int, tokens int,
    extractor text, extractor_version text, people text, evidence_kinds text[])

-- publish_embedding --
-- Adds one collective memory's vector.
-- unscoped: the collective tier belongs to the tenant
INSERT INTO collective_embeddings (tenant_id, embedder_id, memory_id, vector)
VALUES (%(tenant)s, %(embedder_id)s, %(memory_id)s, %(vector)s)
ON CONFLICT DO NOTHING

-- republish --
-- Updates the count and confidence of collective memories that stay.
-- unscoped: the collective tier belongs to the tenant
UPDATE collective_memories c
SET support = r.support, confidence = r.confidence, people = r.people,
    evidence_kinds = r.evidence_kinds
FROM jsonb_to_recordset(%(rows)s) AS r(memory_id bigint, support int, confidence real, people text,
    evidence_kinds text[])
WHERE c.tenant_id = %(tenant)s AND c.memory_id = r.memory_id

-- support --
-- Makes the given users the supporters of the given memories, and nobody else.
-- unscoped: who supports what is counted over the users of a tenant
WITH wanted AS (
    SELECT memory_id, user_id, user_memory_id
    FROM unnest(%(supported)s::bigint[], %(users)s::text[], %(memories)s::bigint[])
        AS w(memory_id, user_id, user_memory_id)
), gone AS (
    DELETE FROM collective_support s
    WHERE s.tenant_id = %(tenant)s AND s.memory_id = ANY(%(supported)s)
        AND NOT EXISTS (SELECT FROM wanted w
                        WHERE w.memory_id = s.memory_id AND w.user_id = s.user_id)
)
INSERT INTO collective_support AS s (tenant_id, memory_id, user_id, user_memory_id)
SELECT %(tenant)s, memory_id, user_id, user_memory_id FROM wanted
ON CONFLICT (tenant_id, memory_id, user_id) DO UPDATE SET user_memory_id = excluded.user_memory_id
    WHERE s.user_memory_id <> excluded.user_memory_id

-- withdraw --
-- Deletes collective memories; see the function.
-- unscoped: the collective tier belongs to the tenant
SELECT withdraw_collective(%(memories)s) AS withdrawn

-- seal --
-- Builds the tenant's next recall block, and says whether there was one to build.
-- unscoped: the collective tier belongs to the tenant
SELECT build_collective_block(%(tenant)s) AS sealed
