-- What a question looks at of 256 collective memories at once, where it would read 256 rows.

-- Lexemes with the places, from 1, of the elements that hold them: an inverted index. NULL if it
-- takes more than a tsvector holds, which is no more bytes than it is written with, and 2^20 - 1.
CREATE FUNCTION inverted(held tsvector[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN octet_length(written) < 1000000 THEN written::tsvector END
    FROM (
        SELECT COALESCE(string_agg(concat(
            '''', replace(replace(lexeme, '\', '\\'), '''', ''''''), ''':', places), ' '), '')
            AS written
        FROM (
            SELECT lexeme, string_agg(place::text, ',') AS places
            FROM unnest(held) WITH ORDINALITY AS h(lexemes, place)
            CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme
            GROUP BY lexeme
        ) l
    ) w
$$;

-- As in 0019, by `inverted`.
CREATE OR REPLACE FUNCTION block_of(tenant text, owner text, derived smallint, number bigint,
    OUT members bytea, OUT postings tsvector)
    LANGUAGE sql STABLE
AS $$
    WITH whole AS MATERIALIZED (
        SELECT count(agent_id) = 0 AS fits, string_agg(member(m), ''::bytea ORDER BY memory_id)
            AS members, inverted(array_agg(lexemes ORDER BY memory_id)) AS postings
        FROM memories m
        WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
            AND m.memory_id >= number * 256 AND m.memory_id < (number + 1) * 256
            AND m.believed_to IS NULL AND m.archived_at IS NULL
    )
    SELECT CASE WHEN fits AND postings IS NOT NULL THEN members END,
        CASE WHEN fits THEN postings END
    FROM whole
$$;

-- A block holds what is looked at of the tenant's current collective memories with ids from
-- 256 * block on. It says only what `collective_memories` says: a memory that comes, goes or is
-- worded anew takes its block away in the same transaction, so also where it is withdrawn because a
-- user is forgotten. What no block holds is read row by row, and the `promote` job makes blocks.
CREATE TABLE collective_blocks (
    tenant_id text NOT NULL,
    block     bigint NOT NULL,
    members   int NOT NULL,
    total     bigint NOT NULL,  -- of `words`
    words     int[] NOT NULL,   -- how many lexemes each has, by place; 0 where there is none
    postings  tsvector,         -- each lexeme with the places of those that hold it, which are their
                                -- ids % 256 + 1; NULL: to be read row by row
    PRIMARY KEY (tenant_id, block)
);
-- Unpacking takes longer than reading.
ALTER TABLE collective_blocks
    ALTER COLUMN words SET STORAGE MAIN,
    ALTER COLUMN words SET STATISTICS 0,
    ALTER COLUMN postings SET STORAGE EXTERNAL,
    ALTER COLUMN postings SET STATISTICS 0;
ALTER TABLE collective_blocks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY client ON collective_blocks FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_blocks TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_blocks TO memory_client;
GRANT SELECT, INSERT, UPDATE, DELETE ON collective_blocks TO memory_worker;

-- Whoever changes collective memories shares the tenant's row, and whoever makes a block has it
-- alone: a block is either committed by then, so that it is seen here, or made of what this
-- transaction leaves. Clients, who could hold up others by an advisory lock, cannot lock that row.
CREATE FUNCTION unseal_collective_moved() RETURNS trigger
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

CREATE FUNCTION unseal_collective_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    PERFORM FROM tenants WHERE tenant_id = NEW.tenant_id FOR SHARE;
    DELETE FROM collective_blocks WHERE tenant_id = NEW.tenant_id AND block = NEW.memory_id / 256;
    RETURN NULL;
END $$;

CREATE TRIGGER unsealed_insert AFTER INSERT ON collective_memories REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION unseal_collective_moved();
CREATE TRIGGER unsealed_delete AFTER DELETE ON collective_memories REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION unseal_collective_moved();
-- The key of a memory never changes, and its count is in no block.
CREATE TRIGGER unsealed_update AFTER UPDATE ON collective_memories FOR EACH ROW
    WHEN ((OLD.believed_to IS NULL, OLD.lexemes) IS DISTINCT FROM
        (NEW.believed_to IS NULL, NEW.lexemes))
    EXECUTE FUNCTION unseal_collective_changed();

-- What a block of the tenant holds as the memories are now; no row where there are none.
CREATE FUNCTION collective_block_of(tenant text, number bigint)
    RETURNS TABLE (members int, total bigint, words int[], postings tsvector)
    LANGUAGE sql STABLE
AS $$
    SELECT count(memory_id)::int, sum(length(lexemes)),
        array_agg(COALESCE(length(lexemes), 0) ORDER BY place),
        inverted(array_agg(lexemes ORDER BY place))
    FROM generate_series(number * 256, number * 256 + 255) place
    LEFT JOIN collective_memories c ON c.tenant_id = tenant AND c.memory_id = place
        AND c.memory_id >= number * 256 AND c.memory_id < (number + 1) * 256
        AND c.believed_to IS NULL
    HAVING count(memory_id) > 0
$$;

-- Makes the tenant's next block; false if there is none to be made, or not now.
CREATE FUNCTION seal_collective_block(tenant text) RETURNS boolean
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
    INSERT INTO collective_blocks (tenant_id, block, members, total, words, postings)
    SELECT tenant, made, members, total, words, postings FROM collective_block_of(tenant, made);
    RETURN made IS NOT NULL;
END $$;

REVOKE EXECUTE ON FUNCTION inverted, unseal_collective_moved, unseal_collective_changed,
    collective_block_of, seal_collective_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inverted TO memory_client, memory_worker;
GRANT EXECUTE ON FUNCTION unseal_collective_moved, unseal_collective_changed, collective_block_of,
    seal_collective_block TO memory_worker;
