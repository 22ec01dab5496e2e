-- by_ids --
-- Which of the given interactions are in the log, and since when some of them are retracted. Only
-- an operator sees what is private to another agent than `agent`.
SELECT interaction_id, retracted_at FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
    AND (NOT private OR agent_id = %(agent)s OR %(operator)s)
ORDER BY position

-- by_source --
-- The interactions of a source, and since when some of them are retracted; seen as in `by_ids`.
SELECT interaction_id, retracted_at FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND source = %(source)s
    AND (NOT private OR agent_id = %(agent)s OR %(operator)s)
ORDER BY position

-- now --
-- The time of a retraction made now: the database's, as recording times are.
-- unscoped: reads no table
SELECT clock_timestamp() AS now

-- standing --
-- All assertions under the given belief keys of a generation, retracted or not.
SELECT belief_key, assertion_id, position, candidate, provenance, recorded_at, proposal,
    CASE WHEN a.proposal IS NOT NULL THEN (
        SELECT d.approved FROM review_decisions d
        WHERE d.tenant_id = a.tenant_id AND d.user_id IN (a.user_id, '') AND d.proposal = a.proposal
        ORDER BY d.user_id DESC LIMIT 1) END AS approved
FROM assertions a
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND generation = %(generation)s
    AND belief_key = ANY(%(keys)s)
ORDER BY position

-- retracted --
-- The ids of the user's retracted interactions.
SELECT interaction_id FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND retracted_at IS NOT NULL

-- resting --
-- The current memories, of any generation, with evidence in the given interactions.
SELECT DISTINCT memory_id
FROM evidence e JOIN memories m USING (tenant_id, user_id, memory_id)
WHERE e.tenant_id = %(tenant)s AND e.user_id = %(user)s AND e.interaction_id = ANY(%(ids)s)
    AND m.believed_to IS NULL

-- retract --
-- Marks interactions as retracted and stores who did so, when and why; a row for each.
WITH marked AS (
    UPDATE interactions SET retracted_at = %(at)s
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
        AND retracted_at IS NULL
    RETURNING interaction_id
)
INSERT INTO retractions (tenant_id, user_id, interaction_id, retracted_at, retracted_by, reason)
SELECT %(tenant)s, %(user)s, interaction_id, %(at)s, %(by)s, %(reason)s FROM marked
RETURNING interaction_id

-- restore --
-- Ends the retraction of interactions and stores who did so, when and why; a row for each.
WITH marked AS (
    UPDATE interactions SET retracted_at = NULL
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id = ANY(%(ids)s)
        AND retracted_at IS NOT NULL
    RETURNING interaction_id
)
UPDATE retractions r
SET restored_at = GREATEST(r.retracted_at, %(at)s), restored_by = %(by)s,
    restored_reason = %(reason)s
FROM marked m
WHERE r.tenant_id = %(tenant)s AND r.user_id = %(user)s AND r.interaction_id = m.interaction_id
    AND r.restored_at IS NULL
RETURNING r.interaction_id

-- listed --
-- A user's retractions, newest first; those private to another agent are not shown to `agent`.
SELECT r.interaction_id, r.retracted_at, r.retracted_by, r.reason, r.restored_at, r.restored_by,
    r.restored_reason
FROM retractions r
JOIN interactions i USING (tenant_id, user_id, interaction_id)
WHERE r.tenant_id = %(tenant)s AND r.user_id = %(user)s
    AND (NOT i.private OR i.agent_id IS NULL OR i.agent_id = %(agent)s)
ORDER BY r.retracted_at DESC, i.position DESC
LIMIT %(limit)s

-- of_memory --
-- The retractions of the interactions that a memory rests on, in the order they were made.
SELECT interaction_id, retracted_at, retracted_by, reason, restored_at, restored_by, restored_reason
FROM retractions
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND interaction_id IN (
    SELECT interaction_id FROM evidence
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory)s)
ORDER BY retracted_at, interaction_id

-- users_of_source --
-- Those of the given users who have interactions of a source.
-- unscoped: an operator retracts a source over the users of a tenant
SELECT DISTINCT user_id FROM interactions
WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) AND source = %(source)s
ORDER BY user_id
