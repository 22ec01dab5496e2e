-- append_one --
-- Appends one interaction that is new, in a statement that binds tenant and user itself. A row of
-- NULLs: its id is known or forgotten; `append` says which.
-- admits itself: the procedure checks the tenant
CALL append_interaction(%(tenant)s, %(user)s, %(session)s, %(agent)s,
    %(private)s, %(id)s, %(digest)s, %(kind)s, %(role)s, %(actor)s, %(content)s, %(payload)s,
    %(occurred_at)s, %(utc_offset)s, %(source)s, %(hash)s, %(session_ttl)s, NULL, NULL)

-- append --
-- Appends one user's interactions in the order given, each at the next ordinal of its session and
-- the next position of its user. Returns for each its outcome (appended, duplicate, conflict or
-- forgotten), and the hash that the log had under its id. `traceparent` and `tracestate` are stored
-- with all. The user's row is locked first, so that concurrent writers take turns and leave no gap.
WITH incoming AS (
    SELECT r.ordinality AS nth, r.%{sent}, r.content_hash,
        sha256(convert_to(r.interaction_id, 'UTF8')) AS id_digest
    FROM jsonb_populate_recordset(NULL::interactions, %(incoming)s::jsonb) WITH ORDINALITY AS r
), known AS (
    -- LIMIT 1 keeps this one look into the index for each, also where the planner knows nothing of
    -- the user yet and would rather read all of the user's rows.
    SELECT i.nth, l.session_id, l.ordinal, l.position, l.content_hash,
        l.content_hash = i.content_hash AS same
    FROM incoming i
    CROSS JOIN LATERAL (
        SELECT session_id, ordinal, position, content_hash FROM interactions
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s
            AND interaction_id = i.interaction_id
        LIMIT 1
    ) l
), forgotten AS (
    SELECT i.nth
    FROM incoming i
    CROSS JOIN LATERAL (
        SELECT FROM tombstones
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND id_digest = i.id_digest
        LIMIT 1
    ) t
), fresh AS (
    SELECT i.%{sent}, i.content_hash, row_number() OVER (ORDER BY i.nth) AS nth_of_user,
        row_number() OVER (PARTITION BY i.session_id ORDER BY i.nth) AS nth_of_session
    FROM incoming i
    WHERE i.nth NOT IN (SELECT nth FROM known) AND i.nth NOT IN (SELECT nth FROM forgotten)
), writer AS (
    INSERT INTO users AS u (tenant_id, user_id, position, bytes, recorded_at, due_at, backfill)
    SELECT %(tenant)s, %(user)s, count(*), sum(interaction_bytes(content, payload)), now(), now(),
        bool_and(starts_with(source, 'import:'))
    FROM fresh HAVING CASE WHEN count(*) > 0 THEN check_append(%(tenant)s) END
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + excluded.position, bytes = u.bytes + excluded.bytes,
            recorded_at = now(),
            due_at = LEAST(u.due_at, now()),
            backfill = excluded.backfill AND (u.backfill OR u.due_at IS NULL)
    RETURNING u.position
), touched AS (
    INSERT INTO sessions AS s (tenant_id, user_id, session_id, agent_id, length, started_at,
        last_at, expires_at)
    SELECT %(tenant)s, %(user)s, f.session_id, min(f.agent_id), count(*), min(f.occurred_at),
        max(f.occurred_at),
        GREATEST(max(f.occurred_at), now()) + make_interval(secs => %(session_ttl)s)
    FROM fresh f CROSS JOIN writer
    GROUP BY f.session_id
    ON CONFLICT (tenant_id, user_id, session_id) DO UPDATE
        SET length = s.length + excluded.length,
            started_at = LEAST(s.started_at, excluded.started_at),
            last_at = GREATEST(s.last_at, excluded.last_at),
            expires_at = GREATEST(s.expires_at, excluded.expires_at),
            closed_at = NULL
    RETURNING s.session_id, s.length
), appended AS (
    INSERT INTO interactions (tenant_id, user_id, ordinal, position, %{sent}, content_hash,
        traceparent, tracestate)
    SELECT %(tenant)s, %(user)s,
        t.length - count(*) OVER (PARTITION BY f.session_id) + f.nth_of_session,
        w.position - count(*) OVER () + f.nth_of_user,
        f.%{sent}, f.content_hash, %(traceparent)s, %(tracestate)s
    FROM fresh f JOIN touched t USING (session_id) CROSS JOIN writer w
    RETURNING interaction_id, session_id, ordinal, position
)
SELECT i.nth, i.interaction_id, COALESCE(a.session_id, k.session_id) AS session_id,
    COALESCE(a.ordinal, k.ordinal) AS ordinal, COALESCE(a.position, k.position) AS position,
    CASE WHEN a.position IS NOT NULL THEN 'appended'
         WHEN k.same THEN 'duplicate'
         WHEN NOT k.same THEN 'conflict'
         ELSE 'forgotten' END AS fate,
    k.content_hash AS known_hash
FROM incoming i
LEFT JOIN known k ON k.nth = i.nth
LEFT JOIN appended a ON a.interaction_id = i.interaction_id
ORDER BY i.nth

-- read_session --
-- One session's interactions after an ordinal, oldest first, at most `limit`.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND ordinal > %(after)s
    AND retracted_at IS NULL
ORDER BY ordinal
LIMIT %(limit)s

-- read_seen --
-- One session's interactions after an ordinal, oldest first, at most `limit`, as an agent may see
-- them.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND ordinal > %(after)s
    AND (NOT private OR agent_id = %(agent)s)
    AND retracted_at IS NULL
ORDER BY ordinal
LIMIT %(limit)s

-- read_before --
-- The last `limit` interactions of a session up to an ordinal, newest first.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND ordinal <= %(through)s
    AND retracted_at IS NULL
ORDER BY ordinal DESC
LIMIT %(limit)s

-- newest_trace --
-- The W3C trace context that a session's newest traced interaction came with; no row: none has one.
SELECT traceparent FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND traceparent IS NOT NULL
ORDER BY ordinal DESC
LIMIT 1

-- read_acts --
-- All of a user's interactions of the given kinds other than messages, in the order of the log.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND kind <> 'message'
    AND kind = ANY(%(kinds)s)
    AND retracted_at IS NULL
ORDER BY position

-- read_kinds --
-- All of a user's interactions of the given kinds, messages included, in the order of the log.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND kind = ANY(%(kinds)s)
    AND retracted_at IS NULL
ORDER BY position

-- read_ids --
-- The interactions with the given ids, in the order of the log.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
    AND retracted_at IS NULL
ORDER BY position

-- window --
-- The newest interactions of a session, newest first: those until their estimated tokens (as
-- `memory.language.text.turn_tokens` counts) pass `tokens`, always at least one, are `recent`; the
-- others are what the rolling summary has not come to. Looks back over `limit` interactions, and where the summary is
-- behind over five times as many. What is private to another agent is not shown to `agent`.
SELECT w.%{interaction}, w.running - w.tokens < %(tokens)s AS recent
FROM (
    SELECT i.%{interaction}, i.summary_through, i.tokens,
        sum(i.tokens) OVER (ORDER BY i.ordinal DESC) AS running
    FROM (
        SELECT l.%{interaction}, s.summary_through, length(l.content) / 4 + 1 AS tokens
        FROM interactions l JOIN sessions s USING (tenant_id, user_id, session_id)
        WHERE l.tenant_id = %(tenant)s AND l.user_id = %(user)s AND l.session_id = %(session)s
            AND l.ordinal > LEAST(s.summary_through, s.length - %(limit)s)
            AND (NOT l.private OR l.agent_id IS NULL OR l.agent_id = %(agent)s)
            AND l.retracted_at IS NULL
        ORDER BY l.ordinal DESC
        LIMIT 5 * %(limit)s
    ) i
) w
WHERE w.running - w.tokens < %(tokens)s OR w.ordinal > w.summary_through
ORDER BY w.ordinal DESC

-- session --
-- One session's row.
SELECT session_id, agent_id, length, started_at, last_at,
    LEAST(expires_at, '9999-12-31 00:00+00') AS expires_at, closed_at, summary,
    summary_sources, summary_through
FROM sessions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s

-- position --
-- The end of a user's log, and how far extraction has come in it.
SELECT position, extracted, change_seq FROM users
WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- settled --
-- The pending interactions that are settled: in the log, with their position, or never to be in it,
-- because their id was forgotten or ingestion passed their place. An unknown place is NULL, and
-- nothing is past it.
SELECT w.nth::int AS nth, i.position
FROM unnest(%(ids)s::text[], %(clusters)s::text[], %(topic_ids)s::text[], %(partitions)s::int[],
        %(offsets)s::bigint[])
    WITH ORDINALITY AS w(interaction_id, cluster_id, topic_id, partition, record_offset, nth)
LEFT JOIN LATERAL (
    SELECT position FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = w.interaction_id
    LIMIT 1
) i ON true
WHERE i.position IS NOT NULL
    OR EXISTS (
        SELECT FROM tombstones
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s
            AND id_digest = sha256(convert_to(w.interaction_id, 'UTF8'))
    )
    OR EXISTS (
        SELECT FROM partition_offsets p
        WHERE p.cluster_id = w.cluster_id AND p.topic_id = w.topic_id
            AND p.partition = w.partition AND p.next_offset > w.record_offset
    )
ORDER BY w.nth

-- set_state --
-- Sets one key of a session's task state. No row: the session is private to another agent.
INSERT INTO task_state (tenant_id, user_id, session_id, key, value)
SELECT %(tenant)s, %(user)s, %(session)s, %(key)s, %(value)s
WHERE session_seen_by(%(tenant)s, %(user)s, %(session)s, %(agent)s)
ON CONFLICT (tenant_id, user_id, session_id, key)
    DO UPDATE SET value = excluded.value, updated_at = now()
RETURNING key

-- get_state --
-- A session's task state, one row for each key, as an agent may see it.
SELECT key, value FROM task_state
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND session_seen_by(%(tenant)s, %(user)s, %(session)s, %(agent)s)
ORDER BY key

-- delete_state --
-- Removes one key of a session's task state, if an agent may see it.
SELECT delete_task_state(%(session)s, %(key)s)
WHERE session_seen_by(%(tenant)s, %(user)s, %(session)s, %(agent)s)

-- set_summary --
-- Moves a session's rolling summary forward.
UPDATE sessions
SET summary = %(summary)s, summary_sources = %(sources)s, summary_through = %(through)s
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND summary_through < %(through)s

-- tombstone --
-- Deletes interactions and leaves their digests and ordinals behind; a row for each.
WITH heavy AS (
    SELECT COALESCE(sum(interaction_bytes(content, payload)), 0) AS bytes FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
), gone AS (
    SELECT interaction_id, session_id, ordinal FROM delete_interactions(%(ids)s)
), lighter AS (
    UPDATE users SET bytes = bytes - (SELECT h.bytes FROM heavy h)
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
), kept AS (
    INSERT INTO tombstones (tenant_id, user_id, id_digest, session_id, ordinal)
    SELECT %(tenant)s, %(user)s, sha256(convert_to(interaction_id, 'UTF8')), session_id, ordinal
    FROM gone
    ON CONFLICT DO NOTHING
)
SELECT session_id, ordinal FROM gone

-- ids_of_user --
-- The ids of all of a user's interactions.
SELECT interaction_id FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- ids_of_session --
-- The ids of a session's interactions, and whether an agent may see them.
SELECT interaction_id, NOT private OR agent_id IS NOT DISTINCT FROM %(agent)s AS seen
FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s

-- forget_session --
-- Deletes a session's row and its task state; those of all sessions if none is named.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_sessions(%(session)s::text)

-- forget_letters --
-- Deletes the bound user's dead letters: of a session, of the given ids, or all.
-- unscoped: the function reads tenant and user from the binding
SELECT forget_dead_letters(%(session)s::text, %(ids)s::text[])

-- rewind --
-- Makes extraction read sessions again, from the first ordinal that is given or that shares a
-- memory with a given one; clears what rolling summaries may have quoted. `at`: the time of a
-- retraction or restoration, from which the new memories are believed.
WITH gone AS (
    SELECT DISTINCT session_id FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
), beside AS (
    SELECT unnest(interaction_ids) AS interaction_id FROM assertions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_ids && %(ids)s
    UNION
    SELECT o.interaction_id
    FROM evidence e JOIN evidence o USING (tenant_id, user_id, memory_id)
    WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s AND e.interaction_id = ANY(%(ids)s)
), places AS (
    SELECT i.session_id, min(i.ordinal) AS ordinal
    FROM interactions i JOIN gone USING (session_id)
    WHERE i.tenant_id = %(tenant)s AND i.user_id = %(user)s
        AND (i.interaction_id = ANY(%(ids)s)
             OR i.interaction_id IN (SELECT interaction_id FROM beside))
    GROUP BY i.session_id
), cleared AS (
    UPDATE sessions s SET summary = '', summary_sources = '{}', summary_through = 0, closed_at = NULL
    FROM places p
    WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s AND s.session_id = p.session_id
)
UPDATE session_progress g
SET ordinal = LEAST(g.ordinal, p.ordinal - 1), attempts = 0, error = NULL, set_aside_at = NULL,
    retry_at = NULL,
    reread_through = GREATEST(g.reread_through, g.ordinal),
    reread_at = GREATEST(g.reread_at, %(at)s::timestamptz)
FROM places p
WHERE g.tenant_id = %(tenant)s AND g.user_id = %(user)s AND g.session_id = p.session_id

-- recount --
-- Counts what the tenant stores again, if it has a quota of it.
-- unscoped: the function counts within the binding
SELECT recount_stored(%(tenant)s)

-- mark_due --
-- Makes a user due now, even while extraction of it is running.
UPDATE users SET due_at = now()
WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- fence --
-- Locks a user's row before something is forgotten or retracted, and invalidates every plan made
-- before. No row: something changed since `from_seq`, if one is given.
UPDATE users SET change_seq = change_seq + 1, forget_seq = forget_seq + 1
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND (%(from_seq)s::bigint IS NULL OR change_seq = %(from_seq)s)
RETURNING change_seq

-- sensitive_policy --
-- What a tenant wants done with secrets and personal data, by class; no row: it has no policy.
-- unscoped: a policy belongs to the tenant
SELECT policy->'sensitive' AS actions, policy->'recognisers' AS recognisers FROM tenants WHERE tenant_id = %(tenant)s

-- read_all --
-- A page of a user's log, whatever counts in it, oldest first; `after` is a position.
SELECT %{interaction} FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND position > %(after)s
ORDER BY position
LIMIT %(limit)s
