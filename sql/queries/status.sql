-- sessions --
-- How many sessions the bound tenant has, or one user of it, and how many of them are open.
SELECT count(*) AS sessions,
    count(*) FILTER (WHERE closed_at IS NULL AND (expires_at IS NULL OR expires_at > now())) AS open
FROM sessions
WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)

-- long_term --
-- How many current memories the bound tenant has, or one user of it, by kind and extractor.
SELECT m.kind, m.extractor, count(*) AS memories
FROM users u
CROSS JOIN LATERAL serving_generation(u.tenant_id, u.user_id) s
JOIN memories m ON m.tenant_id = u.tenant_id AND m.user_id = u.user_id
    AND m.generation = s.generation
WHERE u.tenant_id = %(tenant)s AND (%(user)s = '' OR u.user_id = %(user)s)
    AND m.believed_to IS NULL AND m.archived_at IS NULL
GROUP BY kind, extractor ORDER BY kind, extractor

-- collective --
-- How many current memories the bound tenant's collective tier has, by kind and extractor.
SELECT kind, extractor, count(*) AS memories FROM collective_memories
WHERE tenant_id = %(tenant)s AND believed_to IS NULL
GROUP BY kind, extractor ORDER BY kind, extractor

-- insights --
-- The bound tenant's current collective memories, best supported first.
SELECT kind, text, support, confidence FROM collective_memories
WHERE tenant_id = %(tenant)s AND believed_to IS NULL
ORDER BY support DESC, memory_id
LIMIT %(limit)s
