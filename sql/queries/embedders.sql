-- register --
-- The id of the live embedder; registers this one if there is none yet.
-- unscoped: embedders belong to no tenant
SELECT register_embedder(%(name)s, %(dimensions)s) AS embedder_id

-- live --
-- The embedder whose vectors recall reads.
-- unscoped: embedders belong to no tenant
SELECT embedder_id, name, dimensions FROM embedders WHERE state = 'live'

-- begin --
-- Starts or continues a move to an embedder: its id, and whether it serves already.
-- unscoped: embedders belong to no tenant
INSERT INTO embedders AS e (name, dimensions, state)
VALUES (%(name)s, %(dimensions)s, 'building')
ON CONFLICT (name) DO UPDATE
    SET state = CASE WHEN e.state = 'live' THEN 'live' ELSE 'building' END
RETURNING embedder_id, state, dimensions

-- missing --
-- The user's memories without a vector of an embedder, in order, at most `limit`.
SELECT m.memory_id, m.text, m.payload FROM memories m
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.memory_id > %(after)s
    AND NOT EXISTS (
        SELECT FROM embeddings e
        WHERE e.tenant_id = m.tenant_id AND e.user_id = m.user_id
            AND e.embedder_id = %(embedder_id)s AND e.generation = m.generation
            AND e.memory_id = m.memory_id)
ORDER BY m.memory_id
LIMIT %(limit)s

-- add --
-- Adds a memory's vector, unless the memory was forgotten or has one.
INSERT INTO embeddings (tenant_id, user_id, embedder_id, generation, memory_id, vector)
SELECT tenant_id, user_id, %(embedder_id)s, generation, memory_id, %(vector)s FROM memories
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND memory_id = %(memory_id)s
FOR KEY SHARE
ON CONFLICT DO NOTHING

-- missing_collective --
-- The tenant's collective memories without a vector of an embedder, at most `limit`.
SELECT m.memory_id, m.text FROM collective_memories m
WHERE m.tenant_id = %(tenant)s AND m.memory_id > %(after)s
    AND NOT EXISTS (
        SELECT FROM collective_embeddings e
        WHERE e.tenant_id = m.tenant_id AND e.embedder_id = %(embedder_id)s
            AND e.memory_id = m.memory_id)
ORDER BY m.memory_id
LIMIT %(limit)s

-- add_collective --
-- Adds a collective memory's vector, unless it was withdrawn or has one.
INSERT INTO collective_embeddings (tenant_id, embedder_id, memory_id, vector)
SELECT tenant_id, %(embedder_id)s, memory_id, %(vector)s FROM collective_memories
WHERE tenant_id = %(tenant)s AND memory_id = %(memory_id)s
FOR KEY SHARE
ON CONFLICT DO NOTHING

-- retire --
-- Takes the serving embedder out of service; `serve` follows in the same transaction.
-- unscoped: embedders belong to no tenant
UPDATE embedders SET state = 'retired' WHERE state = 'live' AND embedder_id <> %(embedder_id)s
RETURNING name

-- serve --
-- Puts an embedder into service.
-- unscoped: embedders belong to no tenant
UPDATE embedders SET state = 'live' WHERE embedder_id = %(embedder_id)s

-- drop --
-- Deletes a user's vectors of every embedder that is out of service.
DELETE FROM embeddings
WHERE tenant_id = %(tenant)s AND user_id = %(user)s
    AND embedder_id IN (SELECT embedder_id FROM embedders WHERE state = 'retired')

-- drop_collective --
-- Deletes the tenant's collective vectors of every embedder that is out of service.
DELETE FROM collective_embeddings
WHERE tenant_id = %(tenant)s
    AND embedder_id IN (SELECT embedder_id FROM embedders WHERE state = 'retired')
