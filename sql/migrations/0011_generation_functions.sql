-- Which generation serves whom, and the first embedder.

CREATE FUNCTION rollout_bucket(tenant_id text, user_id text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (('x' || encode(substring(sha256(convert_to(
        length(tenant_id) || ':' || tenant_id || user_id, 'UTF8')) FOR 4), 'hex'))::bit(32)::bigint
        % 100)::int
$$;
COMMENT ON FUNCTION rollout_bucket IS
    'From 0 to 99, evenly and for ever the same: a generation serves the users below its percent. '
    'In the database because serving_generation calls it inside other statements.';

CREATE FUNCTION serving_generation(tenant_id text, user_id text)
    RETURNS TABLE (generation smallint)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
AS $$
    SELECT g.generation FROM memory.generations g
    WHERE g.percent > 0 AND g.percent > memory.rollout_bucket(tenant_id, user_id)
    ORDER BY g.state DESC  -- 'shadow' before 'live'
    LIMIT 1
$$;
COMMENT ON FUNCTION serving_generation IS
    'The generation that serves a user: the one place that says so. In the database because reads '
    'that look it up first would take a round trip more; it is inlined, and costs one look into '
    'an index of at most two rows.';

CREATE FUNCTION register_embedder(name text, dimensions int) RETURNS smallint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$
    INSERT INTO embedders (name, dimensions)
    SELECT register_embedder.name, register_embedder.dimensions
    WHERE NOT EXISTS (SELECT FROM embedders e WHERE e.state = 'live')
    ON CONFLICT DO NOTHING;
    SELECT e.embedder_id FROM embedders e
    WHERE e.name = register_embedder.name AND e.dimensions = register_embedder.dimensions
        AND e.state = 'live';
$$;
REVOKE EXECUTE ON FUNCTION register_embedder FROM PUBLIC;
GRANT EXECUTE ON FUNCTION register_embedder TO memory_client, memory_worker;
COMMENT ON FUNCTION register_embedder IS
    'Adds the first embedder of an empty store, and returns the live one of this name. In the '
    'database because a client may add an embedder in this one case and no other; it runs as its '
    'owner.';
