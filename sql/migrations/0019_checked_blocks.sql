-- What a block says is made in one place, for those who seal blocks and those who check them.

-- What the block of these ids holds as the memories are now.
CREATE FUNCTION block_of(tenant text, owner text, derived smallint, number bigint,
    OUT members bytea, OUT postings tsvector)
    LANGUAGE sql STABLE
AS $$
    WITH mine AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY memory_id) AS nth, memory_id, agent_id, lexemes,
            member(m) AS member
        FROM memories m
        WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
            AND m.memory_id >= number * 256 AND m.memory_id < (number + 1) * 256
            AND m.believed_to IS NULL AND m.archived_at IS NULL
    ), written AS MATERIALIZED (
        -- As a tsvector is written; it takes no more bytes than that, and at most 2^20 - 1.
        SELECT COALESCE(string_agg(concat(
            '''', replace(replace(lexeme, '\', '\\'), '''', ''''''), ''':', places), ' '), '')
            AS postings
        FROM (
            SELECT lexeme, string_agg(nth::text, ',') AS places
            FROM mine CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme
            GROUP BY lexeme
        ) l
    ), whole AS MATERIALIZED (
        SELECT count(agent_id) = 0 AND (SELECT octet_length(postings) < 1000000 FROM written) AS fits,
            string_agg(member, ''::bytea ORDER BY memory_id) AS members
        FROM mine
    )
    SELECT CASE WHEN fits THEN members END,
        CASE WHEN fits THEN (SELECT postings::tsvector FROM written) END
    FROM whole
$$;

-- As in 0017, but for what a block holds.
CREATE OR REPLACE FUNCTION seal_block(tenant text, owner text, derived smallint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    made bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock('recall_blocks'::regclass::oid::int,
                                     block_lock(tenant, owner)) THEN
        RETURN false;
    END IF;
    -- Each of these statements sees all that was committed before it began.
    SELECT n INTO made
    FROM users u CROSS JOIN LATERAL generate_series(0, (u.change_seq + 1) / 256 - 1) n
    WHERE u.tenant_id = tenant AND u.user_id = owner
        AND NOT EXISTS (
            SELECT FROM recall_blocks b
            WHERE b.tenant_id = tenant AND b.user_id = owner AND b.generation = derived
                AND b.block = n)
        AND EXISTS (
            SELECT FROM memories m
            WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
                AND m.memory_id >= n * 256 AND m.memory_id < (n + 1) * 256
                AND m.believed_to IS NULL AND m.archived_at IS NULL)
    ORDER BY n
    LIMIT 1;
    IF made IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO recall_blocks (tenant_id, user_id, generation, block, members, postings)
    SELECT tenant, owner, derived, made, members, postings
    FROM block_of(tenant, owner, derived, made);
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION block_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION block_of TO memory_client, memory_worker;
