-- current --
-- The current memories of a user in two generations, by belief key in the order of time.
SELECT generation, memory_id, belief_key, kind, text, attribute, value, subject, context,
    single_valued, agent_id, valid_from, valid_to, contested, extractor, extractor_version
FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND generation = ANY(ARRAY[%(before)s, %(after)s]::smallint[]) AND believed_to IS NULL
ORDER BY belief_key, valid_from, value, memory_id
