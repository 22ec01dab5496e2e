-- names --
-- Who speaks in a user's log and whom memories are about: names to leave out of the dense query.
SELECT DISTINCT subject AS name FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND subject IS NOT NULL
    AND believed_to IS NULL
LIMIT 50

-- candidates --
-- The user's current memories that are best by meaning or by words, with both scores and the
-- mean and deviation of each over all of them. Meaning is the exact cosine; words are BM25
-- (Robertson & Zaragoza 2009) with k1 = 1.2, b = 0.75 over the lexemes of the question, OR-ed.
WITH question AS MATERIALIZED (
    SELECT tsvector_to_array(to_tsvector(%(language)s::regconfig, %(text)s)) AS lexemes,
        replace(replace(plainto_tsquery(%(language)s::regconfig, %(text)s)::text,
            ' & ', ' | '), ' <-> ', ' | ')::tsquery AS any_of
), mine AS MATERIALIZED (
    SELECT m.memory_id, m.lexemes, length(m.lexemes) AS words,
        COALESCE(1 - (e.vector <=> %(vector)s), 0) AS dense
    FROM memories m
    LEFT JOIN embeddings e ON e.tenant_id = m.tenant_id AND e.user_id = m.user_id
        AND e.memory_id = m.memory_id AND e.embedder_id = %(embedder_id)s
    WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s
        AND m.generation = (SELECT generation FROM generations WHERE state = 'live')
        AND m.believed_to IS NULL AND m.archived_at IS NULL
        AND (%(agent)s::text IS NULL AND m.agent_id IS NULL
             OR m.agent_id IS NULL AND NOT %(only_agent)s OR m.agent_id = %(agent)s)
        AND (%(kinds)s::text[] IS NULL OR m.kind = ANY(%(kinds)s))
), corpus AS (
    SELECT count(*)::float8 AS n, avg(words)::float8 AS mean_words, avg(dense)::float8 AS dense_mean,
        COALESCE(stddev_pop(dense), 0)::float8 AS dense_deviation
    FROM mine
), postings AS (
    SELECT mine.memory_id, mine.words, w.lexeme, cardinality(w.positions) AS tf
    FROM question q, mine, unnest(mine.lexemes) AS w
    WHERE mine.lexemes @@ q.any_of AND w.lexeme = ANY(q.lexemes)
), lexical AS (
    SELECT p.memory_id, sum(
        ln(1 + (c.n - d.df + 0.5) / (d.df + 0.5))
        * p.tf * 2.2 / (p.tf + 1.2 * (0.25 + 0.75 * p.words / GREATEST(c.mean_words, 1)))
    )::float8 AS bm25
    FROM postings p
    JOIN (SELECT lexeme, count(*) AS df FROM postings GROUP BY lexeme) d USING (lexeme)
    CROSS JOIN corpus c
    GROUP BY p.memory_id
), scored AS (
    SELECT mine.memory_id, mine.dense, COALESCE(l.bm25, 0) AS bm25,
        row_number() OVER (ORDER BY mine.dense DESC) AS dense_rank,
        row_number() OVER (ORDER BY COALESCE(l.bm25, 0) DESC) AS bm25_rank,
        avg(COALESCE(l.bm25, 0)) OVER () AS bm25_mean,
        stddev_pop(COALESCE(l.bm25, 0)) OVER () AS bm25_deviation
    FROM mine LEFT JOIN lexical l USING (memory_id)
)
SELECT m.*, s.dense, s.bm25, s.bm25_mean, s.bm25_deviation, c.dense_mean, c.dense_deviation
FROM scored s
JOIN memories m ON m.tenant_id = %(tenant)s AND m.user_id = %(user)s
    AND m.memory_id = s.memory_id
CROSS JOIN corpus c
WHERE s.dense_rank <= %(pool)s OR (s.bm25_rank <= %(pool)s AND s.bm25 > 0)

-- citations --
-- The interactions each memory rests on, those that speak for it, in the order they happened.
SELECT memory_id, array_agg(DISTINCT interaction_id) AS interaction_ids
FROM evidence
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = ANY(%(memories)s)
    AND stance = 'supports'
GROUP BY memory_id
