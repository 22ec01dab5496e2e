-- details --
-- Memories as they stood at `believed_at`: the supporting interactions in the order they happened,
-- the importance before time lowered it, and the end of belief as far as it was known.
SELECT m.memory_id, COALESCE(m.initial_importance, m.importance) AS importance,
    CASE WHEN m.believed_to <= COALESCE(%(believed_at)s::timestamptz, now()) THEN m.believed_to END
        AS believed_to,
    ARRAY(
        SELECT e.interaction_id FROM evidence e
        WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s AND e.memory_id = m.memory_id
            AND e.stance = 'supports' AND e.recorded_at <= COALESCE(%(believed_at)s, now())
        GROUP BY e.interaction_id
        ORDER BY min(e.occurred_at), e.interaction_id
    ) AS interaction_ids
FROM memories m
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id = ANY(%(memories)s)

-- position --
-- The end of a user's log at `believed_at`.
SELECT COALESCE(max(position), 0) AS position, 0::bigint AS extracted, 0::bigint AS change_seq
FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND recorded_at <= COALESCE(%(believed_at)s::timestamptz, now())

-- window --
-- The newest interactions of a session that counted at `believed_at` and had occurred by `as_of`,
-- newest first; `recent` as in `log.window`. Looks back over five times `limit`.
SELECT w.%{interaction}, w.running - w.tokens < %(tokens)s AS recent
FROM (
    SELECT l.%{interaction}, length(l.content) / 4 + 1 AS tokens,
        sum(length(l.content) / 4 + 1) OVER (ORDER BY l.ordinal DESC) AS running
    FROM interactions l
    WHERE l.tenant_id = %(tenant)s AND l.user_id = %(user)s AND l.session_id = %(session)s
        AND (NOT l.private OR l.agent_id IS NULL OR l.agent_id = %(agent)s)
        AND interaction_counted_at(l, %(as_of)s, %(believed_at)s)
    ORDER BY l.ordinal DESC
    LIMIT 5 * %(limit)s
) w
ORDER BY w.ordinal DESC

-- session --
-- One session's row, without its rolling summary if that quotes later interactions or covers more
-- than the interactions of then.
SELECT s.session_id, LEAST(s.expires_at, '9999-12-31 00:00+00') AS expires_at,
    CASE WHEN t.told THEN s.summary ELSE '' END AS summary,
    CASE WHEN t.told THEN s.summary_sources ELSE '{}' END AS summary_sources,
    CASE WHEN t.told THEN s.summary_through ELSE 0 END AS summary_through
FROM sessions s
CROSS JOIN LATERAL (
    SELECT s.summary_through <= COALESCE(max(i.ordinal), 0)
        AND s.summary_sources <@ array_agg(i.interaction_id) AS told
    FROM interactions i
    WHERE i.tenant_id = %(tenant)s AND i.user_id = %(user)s AND i.session_id = s.session_id
        AND interaction_counted_at(i, %(as_of)s, %(believed_at)s)
) t
WHERE s.tenant_id = %(tenant)s AND s.user_id = %(user)s AND s.session_id = %(session)s

-- state --
-- A session's task state, one row for each key last set by then; earlier values are not kept.
SELECT key, value FROM task_state
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND session_id = %(session)s
    AND updated_at <= LEAST(%(as_of)s::timestamptz, %(believed_at)s)
    AND session_seen_by(%(tenant)s, %(user)s, %(session)s, %(agent)s)
ORDER BY key
