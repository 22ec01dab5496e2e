-- Which generation serves whom, and how far the others have come.

-- percent: of the users whom the generation serves; a shadow goes before the live one.
-- followed: what is recorded goes through the generation as soon as it goes through the live one.
ALTER TABLE generations
    ADD COLUMN percent  smallint NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
    ADD COLUMN followed boolean NOT NULL DEFAULT false;
UPDATE generations SET percent = 100, followed = true WHERE state = 'live';
ALTER TABLE generations ADD CONSTRAINT serves_only_what_is_kept_up CHECK (
    CASE state WHEN 'live' THEN percent = 100 AND followed
               WHEN 'shadow' THEN percent = 0 OR followed
               ELSE percent = 0 AND NOT followed END);
-- At most one live generation, and at most one that takes users from it.
CREATE UNIQUE INDEX generations_serving ON generations (state) WHERE percent > 0;
DROP INDEX generations_one_live;

-- From 0 to 99, evenly and for ever the same: users below a generation's percent are its own.
CREATE FUNCTION user_hundredth(tenant_id text, user_id text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (('x' || encode(substring(sha256(convert_to(
        length(tenant_id) || ':' || tenant_id || user_id, 'UTF8')) FOR 4), 'hex'))::bit(32)::bigint
        % 100)::int;

-- The generation that serves a user: the one place that says so. It is inlined where it is read
-- from, so it costs one look into an index of at most two rows.
CREATE FUNCTION serving(tenant_id text, user_id text) RETURNS TABLE (generation smallint)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT g.generation FROM generations g
    WHERE g.percent > 0 AND g.percent > user_hundredth(tenant_id, user_id)
    ORDER BY g.state DESC  -- 'shadow' before 'live'
    LIMIT 1;
END;

-- Recall reads one generation's vectors, however many others there are.
-- Until now there was the first one alone.
ALTER TABLE embeddings ADD COLUMN generation smallint NOT NULL DEFAULT 1;
ALTER TABLE embeddings
    ALTER COLUMN generation DROP DEFAULT,
    DROP CONSTRAINT embeddings_pkey,
    ADD PRIMARY KEY (tenant_id, user_id, embedder_id, generation, memory_id);

-- Up to which position, and which forgetting, a generation beside the live one has derived a user;
-- commits after the memories it made. No row: never to the end. Of the live one `users` says it.
CREATE TABLE derivations (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    generation smallint NOT NULL,
    position   bigint NOT NULL,
    forget_seq bigint NOT NULL,
    derived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, generation)
);
ALTER TABLE derivations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY client ON derivations TO memory_client
    USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON derivations TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON derivations TO memory_client, memory_worker;

-- The collective tier is one, whichever generation of a user it counted; the column says under
-- which live generation a memory was published.
DROP INDEX collective_memories_one_belief;
CREATE UNIQUE INDEX collective_memories_one_belief ON collective_memories (tenant_id, belief_key)
    WHERE believed_to IS NULL;

-- As in 0006, but for the generation: what counts is held in the one that serves the user.
CREATE OR REPLACE FUNCTION withdraw_support() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$
DECLARE
    k      int := collective_k();
    brink  int := collective_k() + collective_spread();
    serves smallint := (SELECT generation FROM serving(bound_tenant(), bound_user()));
    whole  boolean;
    doomed bigint[];
BEGIN
    -- Users who leave at once take turns, or each would count the other.
    PERFORM FROM tenants WHERE tenant_id = bound_tenant() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    whole := EXISTS (SELECT FROM users
                     WHERE tenant_id = bound_tenant() AND user_id = bound_user())
        AND NOT EXISTS (SELECT FROM memories
                        WHERE tenant_id = bound_tenant() AND user_id = bound_user());
    WITH leaving AS MATERIALIZED (
        SELECT s.memory_id FROM collective_support s
        JOIN collective_memories c ON c.tenant_id = s.tenant_id AND c.memory_id = s.memory_id
        WHERE s.tenant_id = bound_tenant() AND s.user_id = bound_user()
            AND NOT EXISTS (
                SELECT FROM memories m
                WHERE m.tenant_id = s.tenant_id AND m.user_id = s.user_id
                    AND m.generation = serves AND m.kind = c.kind
                    AND m.attribute = c.attribute AND collective_value(m.value) = c.value
                    AND m.context IS NOT DISTINCT FROM c.context AND m.subject IS NULL
                    AND m.agent_id IS NULL AND m.believed_to IS NULL AND m.archived_at IS NULL)
    ), counted AS (
        SELECT c.memory_id, c.belief_key, l.memory_id IS NOT NULL AS leaves,
            (SELECT count(*) FROM (
                SELECT FROM collective_support s
                WHERE s.tenant_id = c.tenant_id AND s.memory_id = c.memory_id
                LIMIT brink + 1) s) AS supporters
        FROM collective_memories c LEFT JOIN leaving l USING (memory_id)
        WHERE c.tenant_id = bound_tenant()
            AND (l.memory_id IS NOT NULL OR whole AND c.support <= brink)
    ), gone AS (
        DELETE FROM collective_support s USING leaving l
        WHERE s.tenant_id = bound_tenant() AND s.memory_id = l.memory_id
            AND s.user_id = bound_user()
    )
    SELECT array_agg(memory_id) INTO doomed FROM counted
    WHERE (leaves AND supporters - 1 < k)
        OR (whole AND supporters <= k + collective_jitter(belief_key, 'brink'));
    PERFORM withdraw_collective(doomed);
END $$;
