-- register --
-- The id of the live embedder, which becomes this one if there is none yet.
-- unscoped: embedders belong to no tenant
SELECT register_embedder(%(name)s, %(dimensions)s) AS embedder_id

-- live --
-- The embedder whose vectors recall reads.
-- unscoped: embedders belong to no tenant
SELECT embedder_id, name, dimensions FROM embedders WHERE state = 'live'
