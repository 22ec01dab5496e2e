-- waiting --
-- What waits for review of a user's, the newest first: one row a proposal, however often it came,
-- with up to five examples. What rests on retracted interactions does not wait.
WITH held AS MATERIALIZED (
    SELECT a.proposal, a.user_id, a.belief_key, a.origin, a.position, a.recorded_at, a.candidate,
        a.interaction_ids
    FROM assertions a
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND proposal IS NOT NULL
        AND generation = (SELECT generation FROM serving_generation(a.tenant_id, a.user_id))
        AND (%(proposal)s::bytea IS NULL OR proposal = %(proposal)s)
        AND NOT EXISTS (
            SELECT FROM interactions i
            WHERE i.tenant_id = a.tenant_id AND i.user_id = a.user_id
                AND i.interaction_id = ANY(a.interaction_ids)
                AND (i.retracted_at IS NOT NULL
                     OR i.private AND i.agent_id IS DISTINCT FROM %(agent)s))
), grouped AS MATERIALIZED (
    SELECT proposal, min(origin) AS origin, count(*) AS seen, count(DISTINCT user_id) AS users,
        min(recorded_at) AS first_seen, max(recorded_at) AS last_seen,
        count(*) OVER (PARTITION BY min(belief_key), min(candidate #>> '{said,value}')) AS origins
    FROM held GROUP BY proposal
), page AS MATERIALIZED (
    SELECT g.proposal, g.origin, g.seen, g.users, g.first_seen, g.last_seen, g.origins,
        d.approved, d.decided_at, d.decided_by, d.reason, d.tenant_wide
    FROM grouped g
    LEFT JOIN LATERAL (
        SELECT approved, decided_at, decided_by, reason, user_id = '' AS tenant_wide
        FROM review_decisions r
        WHERE r.tenant_id = %(tenant)s AND r.user_id IN (%(user)s, '') AND r.proposal = g.proposal
        ORDER BY user_id DESC LIMIT 1
    ) d ON true
    WHERE (%(decided)s OR d.approved IS NULL)
        AND (d.approved IS NOT NULL OR g.last_seen > now() - make_interval(days => %(days)s))
        AND (%(seen_before)s::timestamptz IS NULL
             OR (g.last_seen, g.proposal) < (%(seen_before)s, %(after)s::bytea))
    ORDER BY g.last_seen DESC, g.proposal DESC
    LIMIT %(limit)s
)
SELECT p.proposal, p.origin, p.seen, p.users, p.first_seen, p.last_seen, p.origins,
    p.approved, p.decided_at, p.decided_by, p.reason, p.tenant_wide, e.examples
FROM page p
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('user', x.user_id, 'said', x.candidate -> 'said',
        'interaction', i.interaction_id, 'source', i.source, 'actor', i.actor, 'role', i.role,
        'tool', i.payload ->> 'tool') ORDER BY x.recorded_at DESC, x.position DESC) AS examples
    FROM (SELECT user_id, candidate, recorded_at, position
          FROM held h WHERE h.proposal = p.proposal
          ORDER BY h.recorded_at DESC, h.position DESC LIMIT 5) x
    LEFT JOIN interactions i ON i.tenant_id = %(tenant)s AND i.user_id = x.user_id
        AND i.interaction_id = x.candidate #>> '{said,evidence,0,interaction_id}'
) e
ORDER BY p.last_seen DESC, p.proposal DESC

-- waiting_in_tenant --
-- As `waiting`, over the users of a tenant, each in the generation that serves the user.
-- unscoped: an operator reviews what was proposed for the users of a tenant
-- waiting, but for: WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND proposal IS NOT NULL
WHERE tenant_id = %(tenant)s AND proposal IS NOT NULL

-- claims --
-- The belief keys under which a proposal stands, of any generation; none that is private to another
-- agent, unless `every` says so.
SELECT DISTINCT generation, belief_key FROM assertions a
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND proposal = %(proposal)s
    AND (%(every)s OR NOT EXISTS (
        SELECT FROM interactions i
        WHERE i.tenant_id = a.tenant_id AND i.user_id = a.user_id
            AND i.interaction_id = ANY(a.interaction_ids)
            AND i.private AND i.agent_id IS DISTINCT FROM %(agent)s))

-- users_of --
-- The users of a tenant whom a proposal concerns, after one, in order.
-- unscoped: a decision over the users of a tenant
SELECT DISTINCT user_id FROM assertions
WHERE tenant_id = %(tenant)s AND proposal = %(proposal)s AND user_id > %(after)s
ORDER BY user_id LIMIT %(limit)s

-- leased_users --
-- The users of a tenant whom a worker holds now.
-- unscoped: a decision over the users of a tenant
SELECT user_id FROM users WHERE tenant_id = %(tenant)s AND lease_token IS NOT NULL

-- decide --
-- Stores a decision; a later one takes its place.
INSERT INTO review_decisions AS d (tenant_id, user_id, proposal, approved, decided_at, decided_by,
    reason)
VALUES (%(tenant)s, %(user)s, %(proposal)s, %(approved)s, %(at)s, %(by)s, %(reason)s)
ON CONFLICT (tenant_id, user_id, proposal) DO UPDATE
    SET approved = excluded.approved, decided_at = excluded.decided_at,
        decided_by = excluded.decided_by, reason = excluded.reason

-- of_tenant --
-- What was decided on a proposal for every user of the tenant.
SELECT approved FROM review_decisions
WHERE tenant_id = %(tenant)s AND user_id = '' AND proposal = %(proposal)s AND %(user)s <> ''

-- take_back --
-- Deletes a user's decision, so that the proposal waits again.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_review_decision(%(proposal)s)

-- take_back_for_all --
-- Deletes a decision for every user of the tenant.
-- unscoped: an operator takes back what was decided for the tenant
DELETE FROM review_decisions
WHERE tenant_id = %(tenant)s AND user_id = '' AND proposal = %(proposal)s

-- days --
-- After how many days a proposal that nobody decided on expires.
-- unscoped: the policy belongs to the tenant
SELECT COALESCE((policy ->> 'review_days')::int, 30) AS days FROM tenants
WHERE tenant_id = %(tenant)s

-- drop_expired --
-- Deletes proposals of the given users that nobody decided on in time.
-- unscoped: the jobs go through the users of a tenant
DELETE FROM assertions a
WHERE tenant_id = %(tenant)s AND user_id = ANY(%(users)s) AND proposal IS NOT NULL
    AND recorded_at < now() - make_interval(days => %(days)s)
    AND NOT EXISTS (
        SELECT FROM review_decisions r
        WHERE r.tenant_id = a.tenant_id AND r.user_id IN (a.user_id, '')
            AND r.proposal = a.proposal)
RETURNING proposal

-- count_waiting --
-- How many proposals wait in the bound tenant, or of one user of it, and since when the oldest.
SELECT count(*) AS proposals, min(since) AS oldest FROM (
    SELECT proposal, min(recorded_at) AS since FROM assertions a
    WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)
        AND proposal IS NOT NULL
        AND recorded_at > now() - make_interval(days => %(days)s)
        AND NOT EXISTS (
            SELECT FROM review_decisions r
            WHERE r.tenant_id = a.tenant_id AND r.user_id IN (a.user_id, '')
                AND r.proposal = a.proposal)
    GROUP BY proposal LIMIT %(limit)s
) p
