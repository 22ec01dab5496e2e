-- What is published, what is withdrawn, and the blocks that questions read.

CREATE FUNCTION collective_value(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT lower(btrim(value)) $$;
COMMENT ON FUNCTION collective_value IS
    'A value as users are counted by it. In the database because promotion and withdrawal compare '
    'rows of all users by it.';

CREATE FUNCTION collective_key(kind text, attribute text, value text, context text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT substring(
        sha256(convert_to(jsonb_build_array(kind, attribute, value, context)::text, 'UTF8')) FOR 16)
$$;
COMMENT ON FUNCTION collective_key IS
    'What makes two users'' memories the same belief. In the database because promotion groups '
    'the memories of all users by it.';

CREATE FUNCTION collective_k() RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
AS $$
    SELECT GREATEST(2, COALESCE(
        (SELECT (policy->>'k')::int FROM tenants WHERE tenant_id = bound_tenant()), 5))
$$;
COMMENT ON FUNCTION collective_k() IS
    'The least number of supporters of anything in the bound tenant''s collective tier. In the '
    'database because withdraw_support reads it where a client may not.';

CREATE FUNCTION collective_max_jitter() RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
AS $$
    SELECT GREATEST(0, COALESCE(
        (SELECT (policy->>'jitter')::int FROM tenants WHERE tenant_id = bound_tenant()), 2))
$$;
COMMENT ON FUNCTION collective_max_jitter() IS
    'How far the bound tenant''s thresholds may move up. In the database for the reason of '
    'collective_k.';

CREATE FUNCTION collective_digest(belief_key bytea) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
AS $$ SELECT sha256(secret || belief_key) FROM tenants WHERE tenant_id = bound_tenant() $$;
COMMENT ON FUNCTION collective_digest(bytea) IS
    'The name of a belief that only the bound tenant''s secret can make. In the database because '
    'the secret never leaves it.';

CREATE FUNCTION collective_jitter(belief_key bytea, threshold text) RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
AS $$
    SELECT (get_byte(d.draw, 0) * 256 + get_byte(d.draw, 1)) % (collective_max_jitter() + 1)
    FROM tenants t
    LEFT JOIN collective_withdrawals w ON w.tenant_id = t.tenant_id
        AND w.belief_digest = sha256(t.secret || belief_key)
    CROSS JOIN LATERAL (
        SELECT sha256(t.secret || belief_key || convert_to(
            concat_ws(' ', threshold, COALESCE(w.withdrawal_count, 0)), 'UTF8')) AS draw
    ) d
    WHERE t.tenant_id = bound_tenant()
$$;
COMMENT ON FUNCTION collective_jitter(bytea, text) IS
    'By how much a threshold of a belief is moved: evenly from 0 to the tenant''s most, the same '
    'until the belief is withdrawn, then drawn afresh. In the database because the secret never '
    'leaves it.';

CREATE FUNCTION collective_step(belief_key bytea, supporters bigint, published int) RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
AS $$
    SELECT max(step)
    FROM unnest(collective_k() || ARRAY[10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000])
        AS step
    WHERE step >= collective_k()
        AND step + CASE WHEN step <= published THEN 0
                        ELSE collective_jitter(belief_key, 'step ' || step) END <= supporters
$$;
COMMENT ON FUNCTION collective_step(bytea, bigint, int) IS
    'The count to publish: the greatest step that `supporters` reach, by more than a secret '
    'margin for a step that is not yet published. NULL: not to be published at all. In the '
    'database because it draws by the secret, and promotion and verification both ask for it.';

CREATE FUNCTION withdraw_collective(memories bigint[]) RETURNS bigint
    LANGUAGE sql
    SET search_path = memory, pg_temp
AS $$
    INSERT INTO collective_withdrawals AS w (tenant_id, belief_digest)
    SELECT c.tenant_id, collective_digest(c.belief_key) FROM collective_memories c
    WHERE c.tenant_id = bound_tenant() AND c.memory_id = ANY(memories)
    ON CONFLICT (tenant_id, belief_digest)
        DO UPDATE SET withdrawal_count = LEAST(w.withdrawal_count + 1, 12), withdrawn_at = now();
    WITH gone AS (
        DELETE FROM collective_memories c
        WHERE c.tenant_id = bound_tenant() AND c.memory_id = ANY(memories)
        RETURNING c.memory_id
    )
    SELECT count(*) FROM gone;
$$;
COMMENT ON FUNCTION withdraw_collective(bigint[]) IS
    'Removes collective memories for good, and remembers when without remembering what. In the '
    'database because withdraw_support calls it, on behalf of a client that may not.';

CREATE FUNCTION withdraw_support() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$
DECLARE
    k      int := collective_k();
    brink  int := collective_k() + collective_max_jitter();
    serves smallint := (SELECT generation FROM serving_generation(bound_tenant(), bound_user()));
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
COMMENT ON FUNCTION withdraw_support() IS
    'Takes back what the bound user supported and holds no more, and withdraws what then falls '
    'under k, in the caller''s transaction. Where nothing is left of the user, every belief at '
    'the brink goes too, supported by this user or not: who watches somebody leave sees the same '
    'in both cases. In the database because a client may not read what it counts; it runs as the '
    'worker, held to the bound tenant.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'collective_k()', 'collective_max_jitter()', 'collective_digest(bytea)',
        'collective_jitter(bytea, text)', 'collective_step(bytea, bigint, int)',
        'withdraw_support()', 'withdraw_collective(bigint[])'
    ] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO memory_worker', name);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION withdraw_support() TO memory_client;
-- An owner needs CREATE on the schema for as long as it is made the owner.
GRANT CREATE ON SCHEMA memory TO memory_worker;
ALTER FUNCTION withdraw_support() OWNER TO memory_worker;
REVOKE CREATE ON SCHEMA memory FROM memory_worker;

CREATE FUNCTION invalidate_collective_blocks() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM tenants WHERE tenant_id IN (SELECT tenant_id FROM moved) FOR SHARE;
    DELETE FROM collective_blocks b
    USING (SELECT DISTINCT tenant_id, memory_id / 256 AS block FROM moved) m
    WHERE b.tenant_id = m.tenant_id AND b.block = m.block;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION invalidate_collective_blocks IS
    'Removes the blocks of collective memories that came or went. Whoever changes collective '
    'memories shares the tenant''s row, and whoever builds a block has it alone: a block is '
    'either committed by then, so that it is seen here, or made of what this transaction leaves. '
    'Clients, who could hold up others by an advisory lock, cannot lock that row. In the database '
    'because withdrawal, which forgetting causes, may not miss it.';

CREATE FUNCTION invalidate_collective_block() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM tenants WHERE tenant_id = NEW.tenant_id FOR SHARE;
    DELETE FROM collective_blocks WHERE tenant_id = NEW.tenant_id AND block = NEW.memory_id / 256;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION invalidate_collective_block IS
    'Removes the block of a collective memory that changed; in the database for the reason of '
    'invalidate_collective_blocks.';

CREATE TRIGGER invalidate_blocks_on_insert AFTER INSERT ON collective_memories
    REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_collective_blocks();
CREATE TRIGGER invalidate_blocks_on_delete AFTER DELETE ON collective_memories
    REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_collective_blocks();
-- The key of a memory never changes, and its count is in no block.
CREATE TRIGGER invalidate_block_on_update AFTER UPDATE ON collective_memories FOR EACH ROW
    WHEN ((OLD.believed_to IS NULL, OLD.lexemes) IS DISTINCT FROM
        (NEW.believed_to IS NULL, NEW.lexemes))
    EXECUTE FUNCTION invalidate_collective_block();

CREATE FUNCTION collective_block_contents(tenant text, number bigint)
    RETURNS TABLE (member_count int, word_total bigint, word_counts int[], postings tsvector)
    LANGUAGE sql STABLE
AS $$
    SELECT count(memory_id)::int, sum(length(lexemes)),
        array_agg(COALESCE(length(lexemes), 0) ORDER BY place),
        memory.inverted_index(array_agg(lexemes ORDER BY place))
    FROM generate_series(number * 256, number * 256 + 255) place
    LEFT JOIN memory.collective_memories c ON c.tenant_id = tenant AND c.memory_id = place
        AND c.memory_id >= number * 256 AND c.memory_id < (number + 1) * 256
        AND c.believed_to IS NULL
    HAVING count(memory_id) > 0
$$;
COMMENT ON FUNCTION collective_block_contents IS
    'What a block of the tenant holds as the memories are now; no row where there are none. In '
    'the database because those who build blocks and those who verify them have to say the same.';

CREATE FUNCTION build_collective_block(tenant text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    given_out bigint;
    made      bigint;
BEGIN
    SELECT change_seq INTO given_out FROM tenants
    WHERE tenant_id = tenant
    FOR UPDATE SKIP LOCKED;
    -- Each of these statements sees all that was committed before it began.
    SELECT n INTO made
    FROM generate_series(0, (given_out + 1) / 256 - 1) n
    WHERE NOT EXISTS (SELECT FROM collective_blocks b WHERE b.tenant_id = tenant AND b.block = n)
        AND EXISTS (
            SELECT FROM collective_memories c
            WHERE c.tenant_id = tenant AND c.memory_id >= n * 256 AND c.memory_id < (n + 1) * 256
                AND c.believed_to IS NULL)
    ORDER BY n
    LIMIT 1;
    INSERT INTO collective_blocks (tenant_id, block, member_count, word_total, word_counts, postings)
    SELECT tenant, made, member_count, word_total, word_counts, postings
    FROM collective_block_contents(tenant, made);
    RETURN made IS NOT NULL;
END $$;
COMMENT ON FUNCTION build_collective_block IS
    'Builds the tenant''s next block; false if there is none to build, or not now. In the '
    'database for the reason of build_block.';

REVOKE EXECUTE ON FUNCTION invalidate_collective_blocks, invalidate_collective_block,
    collective_block_contents, build_collective_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_collective_blocks, invalidate_collective_block,
    collective_block_contents, build_collective_block TO memory_worker;
