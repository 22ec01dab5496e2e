-- names --
-- Who speaks in a user's newest sessions: names to leave out of the dense query.
SELECT DISTINCT i.actor AS name
FROM (
    SELECT session_id FROM sessions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    ORDER BY last_at DESC
    LIMIT 20
) s
CROSS JOIN LATERAL (
    SELECT actor FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = s.session_id
    ORDER BY ordinal
    LIMIT 40
) i
WHERE i.actor IS NOT NULL
LIMIT 50

-- scores --
-- How near each of the user's current memories is to a question, by meaning and by words, as one
-- row of arrays: recall ranks over all of them, and reads the best in full with `details`.
-- Meaning is the exact cosine. Words are BM25 (Robertson & Zaragoza 2009; k1 = 1.2, b = 0.75) over
-- the question's lexemes, OR-ed, each counted once a memory: how often it stands there is looked
-- up for the best alone, because reading every position costs more than the rest of the statement.
WITH terms AS MATERIALIZED (
    SELECT lexeme,
        ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM unnest(tsvector_to_array(to_tsvector(%(language)s::regconfig, %(text)s))) AS lexeme
), mine AS MATERIALIZED (
    SELECT m.memory_id, m.session_id, m.ordinal, m.ordinal_to, length(m.lexemes) AS words,
        COALESCE(1 - (e.vector <=> %(vector)s), 0)::real AS dense,
        CASE WHEN m.lexemes @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM terms)
            THEN m.lexemes END AS matched,
        m.attribute IS NOT DISTINCT FROM 'instruction' AS instruction
    FROM memories m
    LEFT JOIN embeddings e ON e.tenant_id = m.tenant_id AND e.user_id = m.user_id
        AND e.memory_id = m.memory_id AND e.embedder_id = %(embedder_id)s
    WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s
        AND m.generation = (SELECT generation FROM generations WHERE state = 'live')
        AND m.believed_to IS NULL AND m.archived_at IS NULL
        AND (%(agent)s::text IS NULL AND m.agent_id IS NULL
             OR m.agent_id IS NULL AND NOT %(only_agent)s OR m.agent_id = %(agent)s)
        AND (%(kinds)s::text[] IS NULL OR m.kind = ANY(%(kinds)s))
), corpus AS MATERIALIZED (
    SELECT count(*)::float8 AS n, GREATEST(avg(words), 1)::float8 AS mean_words FROM mine
), hits AS MATERIALIZED (
    SELECT h.memory_id, h.words, t.lexeme
    FROM mine h CROSS JOIN terms t
    WHERE h.matched IS NOT NULL AND h.matched @@ t.query
), rarity AS MATERIALIZED (
    SELECT h.lexeme, ln(1 + (c.n - count(*) + 0.5) / (count(*) + 0.5)) AS idf
    FROM hits h CROSS JOIN corpus c GROUP BY h.lexeme, c.n
), lexical AS MATERIALIZED (
    SELECT h.memory_id,
        sum(r.idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * h.words / c.mean_words)))::real AS bm25
    FROM hits h JOIN rarity r USING (lexeme) CROSS JOIN corpus c
    GROUP BY h.memory_id
)
SELECT array_agg(memory_id) AS ids, array_agg(dense) AS dense,
    array_agg(hashtext(session_id)) AS sessions, array_agg(ordinal) AS ordinals,
    array_agg(ordinal_to) AS ordinal_tos,
    array_agg(memory_id) FILTER (WHERE instruction) AS instructions,
    (SELECT array_agg(memory_id) FROM lexical) AS matched_ids,
    (SELECT array_agg(bm25) FROM lexical) AS bm25,
    (SELECT array_agg(lexeme) FROM rarity) AS lexemes,
    (SELECT array_agg(idf) FROM rarity) AS idf,
    (SELECT mean_words FROM corpus) AS mean_words
FROM mine

-- details --
-- Memories in full, with the interactions that speak for them in the order they happened, and where
-- each lexeme of the question stands in them.
SELECT m.*, c.interaction_ids, t.positions, length(m.lexemes) AS words
FROM memories m
CROSS JOIN LATERAL (
    SELECT array_agg(interaction_id ORDER BY e.occurred_at, e.interaction_id) AS interaction_ids
    FROM evidence e
    WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id AND e.memory_id = m.memory_id
        AND e.stance = 'supports'
) c
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(u.lexeme, u.positions) AS positions
    FROM unnest(m.lexemes) u WHERE u.lexeme = ANY(%(lexemes)s)
) t
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = ANY(%(memories)s)
