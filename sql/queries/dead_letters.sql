-- unsent --
-- Dead letters of the given partitions that the dead-letter topic does not have yet, oldest first.
-- unscoped: dead letters may be nobody's
SELECT dead_letter_id, topic, partition, record_offset, reason, detail, key, value, headers,
    tenant_id, user_id, session_id, interaction_id, record_time, set_aside_at, sent_at, redriven_at
FROM dead_letters
WHERE cluster_id = %(cluster)s AND topic_id = %(topic_id)s AND partition = ANY(%(partitions)s::int[])
    AND sent_at IS NULL AND redriven_at IS NULL
ORDER BY dead_letter_id
LIMIT %(limit)s

-- sent --
-- Notes that the dead-letter topic has them.
-- unscoped: dead letters may be nobody's
UPDATE dead_letters SET sent_at = now() WHERE dead_letter_id = ANY(%(letters)s::bigint[])

-- list --
-- Dead letters, newest first, without their contents; redriven ones only if asked for. `letter_id`
-- is its name in the JSON of `memory dead-letters`.
-- unscoped: an operator's view, of one tenant where one is named
SELECT dead_letter_id AS letter_id, topic, partition, record_offset, reason, detail, tenant_id,
    user_id, interaction_id, length(value) AS bytes, record_time, set_aside_at, sent_at, redriven_at
FROM dead_letters
WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
    AND (%(all)s OR redriven_at IS NULL)
ORDER BY dead_letter_id DESC
LIMIT %(limit)s

-- read --
-- The given dead letters with their contents, oldest first; by default all that are not redriven.
-- unscoped: an operator's view
SELECT dead_letter_id AS letter_id, topic, partition, record_offset, reason, detail, key, value, headers,
    tenant_id, user_id, session_id, interaction_id, record_time, set_aside_at, sent_at, redriven_at
FROM dead_letters
WHERE CASE WHEN %(letters)s::bigint[] IS NULL
           THEN redriven_at IS NULL AND (%(reason)s::text IS NULL OR reason = %(reason)s)
           ELSE dead_letter_id = ANY(%(letters)s::bigint[]) END
    AND dead_letter_id > %(after)s
ORDER BY dead_letter_id
LIMIT %(limit)s

-- redriven --
-- Notes that a message is in the log after all, and deletes its contents here.
-- unscoped: dead letters may be nobody's
UPDATE dead_letters
SET redriven_at = now(), key = NULL, value = NULL, headers = '[]', detail = ''
WHERE dead_letter_id = %(letter)s

-- drop --
-- Deletes the given dead letters, or all that are older than some days.
-- unscoped: dead letters may be nobody's
DELETE FROM dead_letters
WHERE dead_letter_id = ANY(%(letters)s::bigint[])
    OR set_aside_at < now() - make_interval(days => %(older_than_days)s::int)
RETURNING dead_letter_id

-- waiting --
-- How many dead letters wait to be redriven or dropped, by reason.
-- unscoped: the operator's view over every tenant; counts only
SELECT reason, count(*) AS letters FROM dead_letters
WHERE redriven_at IS NULL
GROUP BY reason ORDER BY reason
