-- foundations --
-- The basis of a plan: the user's change sequence, the generation that serves the user, and the
-- embedder.
SELECT COALESCE((SELECT change_seq FROM users
                 WHERE tenant_id = %(tenant)s AND user_id = %(user)s), 0) AS change_seq,
    (SELECT generation FROM serving_generation(%(tenant)s, %(user)s)) AS generation,
    (SELECT embedder_id FROM embedders WHERE name = %(embedder)s AND state = 'live') AS embedder_id

-- contested --
-- The belief keys with contested beliefs in a generation now, newest first, and since when the
-- newest belief under each is held.
SELECT belief_key, max(believed_from) AS since FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND believed_to IS NULL AND archived_at IS NULL
GROUP BY belief_key
HAVING bool_or(contested <> '{}')
ORDER BY since DESC, belief_key
LIMIT %(limit)s

-- assertions --
-- The assertions under the given belief keys, except those that rest on a retracted interaction.
SELECT belief_key, assertion_id, position, candidate, provenance, recorded_at, proposal,
    CASE WHEN a.proposal IS NOT NULL THEN (
        SELECT d.approved FROM review_decisions d
        WHERE d.tenant_id = a.tenant_id AND d.user_id IN (a.user_id, '') AND d.proposal = a.proposal
        ORDER BY d.user_id DESC LIMIT 1) END AS approved
FROM assertions a
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND belief_key = ANY(%(keys)s)
    AND NOT EXISTS (SELECT FROM interactions i
                    WHERE i.tenant_id = %(tenant)s AND i.user_id = %(user)s
                        AND i.interaction_id = ANY(a.interaction_ids)
                        AND i.retracted_at IS NOT NULL)
ORDER BY position

-- keys_made --
-- The belief keys under which extractors have asserted something, or free text; if interactions are
-- given, only from those.
SELECT belief_key FROM assertions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND extractor = ANY(%(extractors)s)
    AND (%(ids)s::text[] IS NULL OR interaction_ids && %(ids)s)
UNION
SELECT belief_key FROM memories m
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND extractor = ANY(%(extractors)s) AND believed_to IS NULL
    AND (%(ids)s::text[] IS NULL
         OR EXISTS (SELECT FROM evidence e
                    WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s
                        AND e.memory_id = m.memory_id AND e.interaction_id = ANY(%(ids)s)))

-- keys_of_interactions --
-- The belief keys, of any generation, that the given interactions support or contradict.
SELECT DISTINCT generation, belief_key FROM assertions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_ids && %(ids)s
UNION
SELECT m.generation, m.belief_key
FROM evidence e JOIN memories m USING (tenant_id, user_id, memory_id)
WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s AND e.interaction_id = ANY(%(ids)s)

-- generations_of_key --
-- The generations that have or had a belief of the user under a belief key.
SELECT generation FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND belief_key = %(belief_key)s
UNION
SELECT generation FROM assertions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND belief_key = %(belief_key)s

-- open_beliefs --
-- The current beliefs under the given keys, oldest first, each with the places of its evidence.
SELECT memory_id, generation, belief_key, kind, text, attribute, value, subject, context,
    single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance, support,
    tokens, payload, occurred_at, valid_from, valid_to, believed_from, believed_to, supersedes,
    contested, archived_at, extractor, extractor_version, prompt, prompt_version, prompt_hash, model, origin,
    (SELECT COALESCE(jsonb_agg(jsonb_build_array(
            e.interaction_id, e.start_offset, e.end_offset, e.stance)), '[]')
     FROM evidence e
     WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s
        AND e.memory_id = m.memory_id) AS spans
FROM memories m
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND belief_key = ANY(%(keys)s) AND believed_to IS NULL
ORDER BY memory_id

-- believed_by --
-- The user's current memories that one extractor made.
SELECT memory_id, generation, belief_key, kind, text, attribute, value, subject, context,
    single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance, support,
    tokens, payload, occurred_at, valid_from, valid_to, believed_from, believed_to, supersedes,
    contested, archived_at, extractor, extractor_version, prompt, prompt_version, prompt_hash, model,
    origin
FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND extractor = %(extractor)s AND believed_to IS NULL
ORDER BY memory_id

-- known --
-- The newest current memories of the user in a generation, of some kinds, as an agent may see them.
SELECT memory_id, generation, belief_key, kind, text, attribute, value, subject, context,
    single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance, support,
    tokens, payload, occurred_at, valid_from, valid_to, believed_from, believed_to, supersedes,
    contested, archived_at, extractor, extractor_version, prompt, prompt_version, prompt_hash, model,
    origin
FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND believed_to IS NULL AND kind = ANY(%(kinds)s)
    AND (agent_id IS NULL OR agent_id = %(agent)s)
ORDER BY occurred_at DESC, memory_id DESC
LIMIT %(limit)s

-- forgotten_beliefs --
-- Digests of the values the user asked to forget under the given keys.
SELECT belief_key, value_digest FROM forgotten_beliefs
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND belief_key = ANY(%(keys)s)

-- advance --
-- Takes the user's next changes if nothing changed since the plan was made, nothing was forgotten
-- since the log was read for it and, for a worker, the lease still holds. No row: another writer
-- came first.
UPDATE users SET change_seq = %(to_seq)s
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND change_seq = %(from_seq)s
    AND (%(forget_seq)s::bigint IS NULL OR forget_seq = %(forget_seq)s)
    AND (%(lease)s::uuid IS NULL OR lease_token = %(lease)s)
RETURNING change_seq

-- decisions --
-- What was decided on the given proposals; the user's own decision comes before the tenant's.
SELECT DISTINCT ON (proposal) proposal, approved FROM review_decisions
WHERE tenant_id = %(tenant)s AND user_id IN (%(user)s, '') AND proposal = ANY(%(proposals)s)
ORDER BY proposal, user_id DESC

-- insert_assertions --
-- Stores assertions; the same assertion is stored once.
INSERT INTO assertions (tenant_id, user_id, generation, belief_key, assertion_id, position,
    candidate, provenance, extractor, interaction_ids, recorded_at, origin, proposal)
SELECT %(tenant)s, %(user)s, %(generation)s, decode(r.belief_key, 'hex'),
    decode(r.assertion_id, 'hex'), r.position, r.candidate, r.provenance, r.extractor,
    r.interaction_ids, r.recorded_at, r.origin, decode(r.proposal, 'hex')
FROM jsonb_to_recordset(%(rows)s) AS r(belief_key text, assertion_id text, position bigint,
    candidate jsonb, provenance jsonb, extractor text, interaction_ids text[],
    recorded_at timestamptz, origin text, proposal text)
ON CONFLICT DO NOTHING

-- delete_assertions --
-- Deletes assertions.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_assertions(%(generation)s::smallint, %(ids)s::bytea[], NULL)

-- insert_memories --
-- Adds beliefs under the ids the plan took.
INSERT INTO memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute,
    value, subject, context, single_valued, agent_id, session_id, ordinal, ordinal_to, confidence,
    importance, support, tokens, payload, lexemes, occurred_at, valid_from, valid_to,
    believed_from, believed_to, supersedes, contested, extractor, extractor_version, prompt,
    prompt_version, prompt_hash, model, origin)
SELECT %(tenant)s, %(user)s, r.memory_id, %(generation)s, decode(r.belief_key, 'hex'), r.kind,
    r.text, r.attribute, r.value, r.subject, r.context, r.single_valued, r.agent_id, r.session_id,
    r.ordinal, r.ordinal_to, r.confidence, r.importance, r.support, r.tokens, r.payload,
    to_tsvector(%(language)s::regconfig, concat_ws(' ', r.text, r.subject, r.search_text)),
    r.occurred_at, r.valid_from, r.valid_to, r.believed_from, r.believed_to, r.supersedes,
    r.contested, r.extractor, r.extractor_version, r.prompt, r.prompt_version, r.prompt_hash, r.model,
    r.origin
FROM jsonb_to_recordset(%(rows)s) AS r(memory_id bigint, belief_key text, kind text, text text,
    attribute text, value text, subject text, context text, single_valued boolean, agent_id text,
    session_id text, ordinal int, ordinal_to int, confidence real, importance real, support int,
    tokens int, payload jsonb, search_text text, occurred_at timestamptz, valid_from timestamptz,
    valid_to timestamptz, believed_from timestamptz, believed_to timestamptz, supersedes bigint,
    contested text[], extractor text, extractor_version text, prompt text, prompt_version text, prompt_hash text,
    model text, origin text)

-- insert_evidence --
-- Adds evidence to memories; a span counts once.
INSERT INTO evidence (tenant_id, user_id, memory_id, interaction_id, start_offset, end_offset, quote,
    stance, occurred_at, recorded_at, origin)
SELECT %(tenant)s, %(user)s, r.memory_id, r.interaction_id, r.start_offset, r.end_offset, r.quote,
    r.stance, r.occurred_at, r.recorded_at, r.origin
FROM jsonb_to_recordset(%(rows)s) AS r(memory_id bigint, interaction_id text, start_offset int,
    end_offset int, quote text, stance text, occurred_at timestamptz, recorded_at timestamptz,
    origin text)
ON CONFLICT DO NOTHING

-- insert_embedding --
-- Adds one memory's vector.
INSERT INTO embeddings (tenant_id, user_id, embedder_id, generation, memory_id, vector)
VALUES (%(tenant)s, %(user)s, %(embedder_id)s, %(generation)s, %(memory_id)s, %(vector)s)

-- close --
-- Ends beliefs, each when the log learned of their end.
UPDATE memories m SET believed_to = GREATEST(m.believed_from, r.believed_to)
FROM jsonb_to_recordset(%(rows)s) AS r(memory_id bigint, believed_to timestamptz)
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = r.memory_id
    AND m.believed_to IS NULL

-- reinforce --
-- Updates memories that stay as they are and gain evidence.
UPDATE memories m SET confidence = r.confidence, support = r.support, origin = r.origin
FROM jsonb_to_recordset(%(rows)s)
    AS r(memory_id bigint, confidence real, support int, origin text)
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = r.memory_id

-- memory --
-- One memory, if an agent may see it.
SELECT memory_id, generation, belief_key, kind, text, attribute, value, subject, context,
    single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance, support,
    tokens, payload, occurred_at, valid_from, valid_to, believed_from, believed_to, supersedes,
    contested, archived_at, extractor, extractor_version, prompt, prompt_version, prompt_hash, model,
    origin
FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory)s
    AND (agent_id IS NULL OR agent_id = %(agent)s)

-- successor --
-- The memory that superseded a memory, newest first.
SELECT memory_id, generation, belief_key, kind, text, attribute, value, subject, context,
    single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance, support,
    tokens, payload, occurred_at, valid_from, valid_to, believed_from, believed_to, supersedes,
    contested, archived_at, extractor, extractor_version, prompt, prompt_version, prompt_hash, model,
    origin
FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND supersedes = %(memory)s
ORDER BY valid_from DESC, memory_id DESC
LIMIT 1

-- evidence --
-- The evidence for and against a memory, in the order it happened, with what recorded it.
SELECT interaction_id, e.start_offset, e.end_offset, e.quote, e.stance, e.occurred_at, e.recorded_at,
    e.origin, i.source
FROM evidence e LEFT JOIN interactions i USING (tenant_id, user_id, interaction_id)
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND e.memory_id = %(memory)s
ORDER BY e.occurred_at, interaction_id, e.start_offset

-- history --
-- A user's memories, newest belief first: current ones, or with `all` also closed ones, each with
-- the retraction that ended it, if any; only contested ones, if asked for. With `believed_at`, as
-- they were believed then; with `as_of`, those that held then.
SELECT m.memory_id, m.generation, m.belief_key, m.kind, m.text, m.attribute, m.value, m.subject,
    m.context, m.single_valued, m.agent_id, m.session_id, m.ordinal, m.ordinal_to, m.confidence,
    m.importance, m.support, m.tokens, m.payload, m.occurred_at, m.valid_from, m.valid_to,
    m.believed_from, m.believed_to, m.supersedes, m.contested, m.archived_at, m.extractor,
    m.extractor_version, m.prompt, m.prompt_version, m.prompt_hash, m.model, m.origin,
    r.retraction
FROM memories m
LEFT JOIN LATERAL (
    SELECT to_jsonb(r) AS retraction
    FROM evidence e JOIN retractions r USING (tenant_id, user_id, interaction_id)
    WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id AND e.memory_id = m.memory_id
        AND r.retracted_at = m.believed_to
    ORDER BY e.occurred_at, r.interaction_id
    LIMIT 1
) r ON m.believed_to IS NOT NULL
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s
    AND m.generation = (SELECT generation FROM serving_generation(%(tenant)s, %(user)s))
    AND (%(all)s OR m.believed_to IS NULL OR m.believed_to > %(believed_at)s::timestamptz)
    AND (%(believed_at)s IS NULL OR m.believed_from <= %(believed_at)s)
    AND (%(as_of)s::timestamptz IS NULL
         OR m.valid_from <= %(as_of)s AND (m.valid_to IS NULL OR m.valid_to > %(as_of)s))
    AND (%(kinds)s::text[] IS NULL OR m.kind = ANY(%(kinds)s))
    AND (%(attribute)s::text IS NULL OR m.attribute = %(attribute)s)
    AND (NOT %(contested)s OR m.contested <> '{}')
    AND (%(agent)s::text IS NULL OR m.agent_id IS NULL OR m.agent_id = %(agent)s)
    AND (%(agent)s::text IS NOT NULL OR m.agent_id IS NULL)
ORDER BY m.believed_from DESC, m.memory_id DESC
LIMIT %(limit)s

-- versions --
-- Every version of a memory, oldest belief first.
SELECT v.memory_id, v.generation, v.belief_key, v.kind, v.text, v.attribute, v.value, v.subject,
    v.context, v.single_valued, v.agent_id, v.session_id, v.ordinal, v.ordinal_to, v.confidence,
    v.importance, v.support, v.tokens, v.payload, v.occurred_at, v.valid_from, v.valid_to,
    v.believed_from, v.believed_to, v.supersedes, v.contested, v.archived_at, v.extractor,
    v.extractor_version, v.prompt, v.prompt_version, v.prompt_hash, v.model, v.origin
FROM memories v
JOIN memories m USING (tenant_id, user_id, generation, belief_key)
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = %(memory)s
ORDER BY v.believed_from, v.memory_id

-- delete_keys --
-- Deletes every version of the beliefs under the given keys, with evidence and vectors.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_memories(%(generation)s::smallint, %(keys)s::bytea[]) AS memory_id

-- delete_assertion_keys --
-- Deletes all assertions under the given keys.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_assertions(%(generation)s::smallint, NULL, %(keys)s::bytea[])

-- forget_belief --
-- Notes that a value must not be believed again.
INSERT INTO forgotten_beliefs (tenant_id, user_id, belief_key, value_digest)
VALUES (%(tenant)s, %(user)s, %(belief_key)s, %(value_digest)s)
ON CONFLICT DO NOTHING

-- forget_all --
-- Deletes everything derived of a user.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_derived() AS memory_id

-- changes --
-- A user's change sequences; no row for an unknown user.
SELECT change_seq, forget_seq FROM users WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- seal --
-- Builds the user's next recall block, of the generation that serves the user unless another is
-- named, and says whether there was one to build; see the function.
SELECT build_block(%(tenant)s, %(user)s, COALESCE(%(generation)s::smallint,
    (SELECT generation FROM serving_generation(%(tenant)s, %(user)s)))) AS sealed
