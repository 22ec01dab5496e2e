-- append --
-- Appends one user's interactions in the order given, each at the next place of its session and
-- of its user, and says for each what became of it: appended, duplicate, conflict or forgotten.
-- The user's row is locked first, so that concurrent writers take turns and leave no gap.
WITH incoming AS (
    SELECT *
    FROM unnest(
        %(ids)s::text[], %(sessions)s::text[], %(agents)s::text[], %(privates)s::boolean[],
        %(kinds)s::text[], %(roles)s::text[], %(actors)s::text[], %(contents)s::text[],
        %(payloads)s::text[], %(times)s::timestamptz[], %(sources)s::text[], %(hashes)s::bytea[],
        %(digests)s::bytea[]
    ) WITH ORDINALITY AS i(interaction_id, session_id, agent_id, private, kind, role, actor,
        content, payload, occurred_at, source, content_hash, id_digest, nth)
), known AS (
    SELECT i.nth, l.session_id, l.ordinal, l.position, l.content_hash = i.content_hash AS same
    FROM incoming i
    JOIN interactions l ON l.tenant_id = %(tenant)s AND l.user_id = %(user)s
        AND l.interaction_id = i.interaction_id
), forgotten AS (
    SELECT i.nth
    FROM incoming i
    JOIN tombstones t ON t.tenant_id = %(tenant)s AND t.user_id = %(user)s
        AND t.id_digest = i.id_digest
), fresh AS (
    SELECT i.*, row_number() OVER (ORDER BY i.nth) AS nth_of_user,
        row_number() OVER (PARTITION BY i.session_id ORDER BY i.nth) AS nth_of_session
    FROM incoming i
    WHERE i.nth NOT IN (SELECT nth FROM known) AND i.nth NOT IN (SELECT nth FROM forgotten)
), writer AS (
    INSERT INTO users AS u (tenant_id, user_id, position, recorded_at, due_at)
    SELECT %(tenant)s, %(user)s, count(*), now(), now()
    FROM fresh HAVING count(*) > 0
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + excluded.position, recorded_at = now(),
            due_at = COALESCE(u.due_at, now())
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
    INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
        agent_id, private, kind, role, actor, content, payload, occurred_at, source, content_hash)
    SELECT %(tenant)s, %(user)s, f.session_id,
        t.length - count(*) OVER (PARTITION BY f.session_id) + f.nth_of_session,
        w.position - count(*) OVER () + f.nth_of_user,
        f.interaction_id, f.agent_id, f.private, f.kind, f.role, f.actor, f.content,
        f.payload::jsonb, f.occurred_at, f.source, f.content_hash
    FROM fresh f JOIN touched t USING (session_id) CROSS JOIN writer w
    RETURNING interaction_id, session_id, ordinal, position
)
SELECT i.nth, i.interaction_id, COALESCE(a.session_id, k.session_id) AS session_id,
    COALESCE(a.ordinal, k.ordinal) AS ordinal, COALESCE(a.position, k.position) AS position,
    CASE WHEN a.position IS NOT NULL THEN 'appended'
         WHEN k.same THEN 'duplicate'
         WHEN NOT k.same THEN 'conflict'
         ELSE 'forgotten' END AS fate
FROM incoming i
LEFT JOIN known k ON k.nth = i.nth
LEFT JOIN appended a ON a.interaction_id = i.interaction_id
ORDER BY i.nth

-- read_session --
-- One session's interactions after an ordinal, oldest first, at most `limit`.
SELECT * FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND ordinal > %(after)s
ORDER BY ordinal
LIMIT %(limit)s

-- read_before --
-- The last `limit` interactions of a session up to an ordinal, newest first.
SELECT * FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND ordinal <= %(through)s
ORDER BY ordinal DESC
LIMIT %(limit)s

-- read_acts --
-- All of a user's interactions of the given kinds other than messages, in the order of the log.
SELECT * FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND kind <> 'message'
    AND kind = ANY(%(kinds)s)
ORDER BY position

-- read_kinds --
-- All of a user's interactions of the given kinds, messages included, in the order of the log.
SELECT * FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND kind = ANY(%(kinds)s)
ORDER BY position

-- read_ids --
-- The interactions with the given ids, in the order of the log.
SELECT * FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
ORDER BY position

-- window --
-- The newest interactions of a session, newest first, until their estimated tokens (a quarter of
-- their characters) pass `tokens`; always at least one.
SELECT w.*
FROM (
    SELECT i.*, sum(length(i.content) / 4 + 1) OVER (ORDER BY i.ordinal DESC) AS running
    FROM (
        SELECT * FROM interactions
        WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
        ORDER BY ordinal DESC
        LIMIT %(limit)s
    ) i
) w
WHERE w.running - (length(w.content) / 4 + 1) < %(tokens)s
ORDER BY w.ordinal DESC

-- session --
-- One session's row.
SELECT session_id, agent_id, length, started_at, last_at, expires_at, closed_at, summary,
    summary_through
FROM sessions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s

-- sessions --
-- A user's sessions, newest first.
SELECT session_id, agent_id, length, started_at, last_at, expires_at, closed_at, summary,
    summary_through
FROM sessions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
ORDER BY last_at DESC
LIMIT %(limit)s

-- position --
-- How far a user's log and its extraction have come.
SELECT position, extracted, change_seq FROM users
WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- set_state --
-- Sets one key of a session's task state.
INSERT INTO task_state (tenant_id, user_id, session_id, key, value)
VALUES (%(tenant)s, %(user)s, %(session)s, %(key)s, %(value)s)
ON CONFLICT (tenant_id, user_id, session_id, key)
    DO UPDATE SET value = excluded.value, updated_at = now()

-- get_state --
-- A session's task state, one row a key.
SELECT key, value FROM task_state
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
ORDER BY key

-- delete_state --
-- Removes one key of a session's task state.
DELETE FROM task_state
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s AND key = %(key)s

-- set_summary --
-- Moves a session's rolling summary forward.
UPDATE sessions SET summary = %(summary)s, summary_through = %(through)s
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND summary_through < %(through)s

-- tombstone --
-- Removes interactions for good and leaves their digests and places behind.
WITH gone AS (
    DELETE FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
    RETURNING interaction_id, session_id, ordinal
)
INSERT INTO tombstones (tenant_id, user_id, id_digest, session_id, ordinal)
SELECT %(tenant)s, %(user)s, sha256(convert_to(interaction_id, 'UTF8')), session_id, ordinal
FROM gone
ON CONFLICT DO NOTHING

-- session_ids --
-- The ids of a session's interactions; of all the user's where no session is named.
SELECT interaction_id FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND (%(session)s::text IS NULL OR session_id = %(session)s)

-- forget_session --
-- Removes a session's row and its task state.
WITH state AS (
    DELETE FROM task_state
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND (%(session)s::text IS NULL OR session_id = %(session)s)
), ahead AS (
    DELETE FROM progress
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND (%(session)s::text IS NULL OR session_id = %(session)s)
)
DELETE FROM sessions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND (%(session)s::text IS NULL OR session_id = %(session)s)

-- rewind --
-- Lets extraction read sessions again from the first forgotten place on, and clears what their
-- rolling summaries may have quoted.
WITH places AS (
    SELECT session_id, min(ordinal) AS ordinal FROM interactions
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
    GROUP BY session_id
), cleared AS (
    UPDATE sessions s SET summary = '', summary_through = 0
    FROM places p
    WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s AND s.session_id = p.session_id
)
UPDATE progress g SET ordinal = LEAST(g.ordinal, p.ordinal - 1)
FROM places p
WHERE g.tenant_id = %(tenant)s AND g.user_id = %(user)s AND g.session_id = p.session_id

-- mark_due --
-- Asks for extraction of a user now.
UPDATE users SET due_at = COALESCE(due_at, now())
WHERE tenant_id = %(tenant)s AND user_id = %(user)s

-- fence --
-- Locks a user's row and turns away every plan made before.
UPDATE users SET change_seq = change_seq + 1
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
