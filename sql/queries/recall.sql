-- scores --
-- What tells how near each of the user's current memories is to a question, as one row of arrays
-- that `memory.recall.ranking` reads: recall ranks over all of them, and reads the best in full with
-- `details`. They are those of the generation that serves the user, unless another is named. Meaning
-- is the exact cosine distance, of all its vectors: joining them to the memories here would cost
-- more than sending a few too many. Of words it is which memories hold which of the question's
-- lexemes: `hit_rows`, a place in `matched_ids`, holds `hit_terms`, a place in `lexemes`, both from
-- 1. A place in the log is the hash of the session before the ordinal. Memories that blocks hold are
-- read from there, unless `by_row`: `sealed` has them as `encode_member` writes them, and
-- `sealed_hits`, a place in it, holds `sealed_terms`. `names`, if asked for, are of those who speak
-- in the user's newest sessions.
-- one plan: planning takes longer than scoring a thousand memories
WITH terms AS MATERIALIZED (
    SELECT lexeme, nth::int AS nth,
        ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM unnest(tsvector_to_array(to_tsvector(%(language)s::regconfig, %(text)s)))
        WITH ORDINALITY AS t(lexeme, nth)
), served AS MATERIALIZED (
    SELECT COALESCE(%(generation)s::smallint,
        (SELECT generation FROM serving_generation(%(tenant)s, %(user)s))) AS generation
), blocks AS MATERIALIZED (
    SELECT block, members,
        sum(length(members) / 25) OVER (ORDER BY block) - length(members) / 25 AS before,
        ts_filter(setweight(postings, 'A', ARRAY(SELECT lexeme FROM terms)), '{a}') AS held
    FROM recall_blocks
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND generation = (SELECT generation FROM served)
        AND members IS NOT NULL AND NOT %(by_row)s
), sealed AS MATERIALIZED (
    SELECT string_agg(members, ''::bytea ORDER BY block) AS sealed FROM blocks
), sealed_hits AS MATERIALIZED (
    SELECT array_agg((before + place)::int) AS sealed_hits, array_agg(nth) AS sealed_terms
    FROM (
        SELECT b.before, t.nth, unnest(h.positions) AS place
        FROM blocks b CROSS JOIN LATERAL unnest(b.held) h JOIN terms t USING (lexeme)
    ) h
), gaps AS MATERIALIZED (
    SELECT first, upto FROM (
        SELECT 256 * (block + 1) AS first,
            COALESCE(256 * lead(block) OVER (ORDER BY block), 9223372036854775807) AS upto
        FROM blocks
        UNION ALL
        SELECT 0, COALESCE(256 * min(block), 9223372036854775807) FROM blocks
    ) g
    WHERE first < upto
), mine AS MATERIALIZED (
    SELECT array_agg(memory_id) AS ids, sum(words) AS words,
        array_agg((COALESCE(hashtext(session_id), 0)::bigint << 32) + COALESCE(ordinal, 0))
            AS places,
        array_agg(COALESCE(ordinal_to, 0)) AS ordinal_tos,
        array_agg(memory_id) FILTER (WHERE attribute = 'instruction') AS instructions,
        array_agg(memory_id) FILTER (WHERE matched IS NOT NULL) AS matched_ids,
        array_agg(words) FILTER (WHERE matched IS NOT NULL) AS matched_words,
        array_agg(matched) FILTER (WHERE matched IS NOT NULL) AS matched
    FROM gaps CROSS JOIN LATERAL (
        SELECT memory_id, session_id, ordinal, ordinal_to, attribute, length(lexemes) AS words,
            CASE WHEN lexemes @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM terms)
                THEN lexemes END AS matched
        FROM memories
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s
            AND generation = (SELECT generation FROM served)
            AND memory_id >= first AND memory_id < upto
            AND believed_to IS NULL AND archived_at IS NULL
            AND (%(agent)s::text IS NULL AND agent_id IS NULL
                 OR agent_id IS NULL AND NOT %(only_agent)s OR agent_id = %(agent)s)
            AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
        OFFSET 0  -- so that a match is looked for once, not once for each aggregate
    ) m
), hits AS MATERIALIZED (
    SELECT array_agg(m.nth::int) AS hit_rows, array_agg(t.nth) AS hit_terms
    FROM mine CROSS JOIN LATERAL unnest(matched) WITH ORDINALITY AS m(lexemes, nth)
    JOIN terms t ON m.lexemes @@ t.query
), vectors AS MATERIALIZED (
    SELECT array_agg(memory_id) AS vector_ids,
        array_agg((vector <=> %(vector)s)::real) AS distances
    FROM embeddings
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND embedder_id = %(embedder_id)s
        AND generation = (SELECT generation FROM served)
)
SELECT ids, words, places, ordinal_tos, instructions, matched_ids, matched_words,
    (SELECT array_agg(lexeme ORDER BY nth) FROM terms) AS lexemes,
    hit_rows, hit_terms, sealed, sealed_hits, sealed_terms, vector_ids, distances,
    CASE WHEN %(names)s THEN ARRAY(
        SELECT DISTINCT i.actor
        FROM (
            SELECT session_id FROM sessions
            WHERE tenant_id = %(tenant)s AND user_id = %(user)s
            ORDER BY last_at DESC
            LIMIT 20
        ) s
        CROSS JOIN LATERAL (
            SELECT actor FROM interactions
            WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = s.session_id
                AND retracted_at IS NULL
            ORDER BY ordinal
            LIMIT 40
        ) i
        WHERE i.actor IS NOT NULL
        LIMIT 50
    ) END AS names
FROM mine CROSS JOIN hits CROSS JOIN sealed CROSS JOIN sealed_hits CROSS JOIN vectors

-- scores_then --
-- As `scores`, of what was believed at `believed_at` to hold at `as_of`; no partial index has the
-- closed memories, so it reads all that were ever believed of the user.
-- one plan: as `scores`
-- scores, but for: AND believed_to IS NULL AND archived_at IS NULL
AND memory_held_at(memories, %(as_of)s, %(believed_at)s)
            AND (archived_at IS NULL OR archived_at > %(believed_at)s::timestamptz)

-- details --
-- Memories in full, with the interactions that speak for them in the order they happened, and where
-- each lexeme of the question stands in them: `held`, as a tsvector is written. `sources` are the
-- systems that recorded the interactions; `said_ahead` and `ended_ahead` say that all that speaks for
-- or against a memory lies after the time `soon`, if one is given. Evidence is always of
-- a memory that is there; the join is FULL since it then is never made row by row, which the planner
-- would choose, as it expects a single row of each.
-- one plan: planning takes as long as reading
WITH cited AS MATERIALIZED (
    SELECT memory_id, array_agg(interaction_id ORDER BY occurred_at, interaction_id)
            FILTER (WHERE stance = 'supports') AS interaction_ids,
        array_agg(DISTINCT (
            SELECT i.source FROM interactions i
            WHERE i.tenant_id = %(tenant)s AND i.user_id = %(user)s
                AND i.interaction_id = e.interaction_id
            LIMIT 1
        )) FILTER (WHERE stance = 'supports') AS sources,
        min(occurred_at) FILTER (WHERE stance = 'supports') > %(soon)s::timestamptz AS said_ahead,
        min(occurred_at) FILTER (WHERE stance = 'contradicts') > %(soon)s AS ended_ahead
    FROM evidence e
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = ANY(%(memories)s)
    GROUP BY memory_id
)
SELECT memory_id, kind, text, attribute, value, subject, context, single_valued, agent_id,
    session_id, confidence, importance, support, tokens, payload, occurred_at, valid_from, valid_to,
    believed_from, believed_to, supersedes, contested, extractor, extractor_version, prompt,
    prompt_version, prompt_hash, model, origin, interaction_ids, sources, said_ahead, ended_ahead,
    length(lexemes) AS words,
    ts_filter(setweight(lexemes, 'A', %(lexemes)s::text[]), '{a}')::text AS held
FROM (
    SELECT memory_id, kind, text, attribute, value, subject, context, single_valued, agent_id,
        session_id, confidence, importance, support, tokens, payload, occurred_at, valid_from,
        valid_to, believed_from, believed_to, supersedes, contested, extractor, extractor_version,
        prompt, prompt_version, prompt_hash, model, origin, lexemes
    FROM memories
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = ANY(%(memories)s)
) m
FULL JOIN cited USING (memory_id)
