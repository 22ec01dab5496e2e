-- What held when, and the blocks that recall reads.

CREATE FUNCTION memory_held_at(m memories, as_of timestamptz, believed_at timestamptz)
    RETURNS boolean
    LANGUAGE sql STABLE
AS $$
    SELECT m.believed_from <= COALESCE(believed_at, now())
        AND (m.believed_to IS NULL OR m.believed_to > COALESCE(believed_at, now()))
        AND (as_of IS NULL
             OR m.valid_from <= as_of AND (m.valid_to IS NULL OR m.valid_to > as_of))
$$;
REVOKE EXECUTE ON FUNCTION memory_held_at FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory_held_at TO memory_client, memory_worker;
COMMENT ON FUNCTION memory_held_at IS
    'Whether a memory was believed at `believed_at` to hold at `as_of`. A time that is not given '
    'is now, or any time. In the database because recall selects by it; it is inlined.';

CREATE FUNCTION inverted_index(documents tsvector[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN octet_length(written) < 1000000 THEN written::tsvector END
    FROM (
        SELECT COALESCE(string_agg(concat(
            '''', replace(replace(lexeme, '\', '\\'), '''', ''''''), ''':', places), ' '), '')
            AS written
        FROM (
            SELECT lexeme, string_agg(place::text, ',') AS places
            FROM unnest(documents) WITH ORDINALITY AS d(lexemes, place)
            CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme
            GROUP BY lexeme
        ) l
    ) w
$$;
REVOKE EXECUTE ON FUNCTION inverted_index FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inverted_index TO memory_client, memory_worker;
COMMENT ON FUNCTION inverted_index IS
    'Every lexeme with the places, from 1, of the documents that hold it, as one tsvector. NULL '
    'if it takes more than a tsvector holds, which is no more bytes than it is written with, and '
    '2^20 - 1. In the database because blocks are built of rows that are locked there.';

CREATE FUNCTION encode_member(m memories) RETURNS bytea
    LANGUAGE sql STABLE
AS $$
    SELECT int8send(m.memory_id)
        || int8send((COALESCE(hashtext(m.session_id), 0)::bigint << 32) + COALESCE(m.ordinal, 0))
        || int4send(COALESCE(m.ordinal_to, 0)) || int4send(length(m.lexemes))
        || boolsend(m.attribute IS NOT DISTINCT FROM 'instruction')
$$;
REVOKE EXECUTE ON FUNCTION encode_member FROM PUBLIC;
GRANT EXECUTE ON FUNCTION encode_member TO memory_client, memory_worker;
COMMENT ON FUNCTION encode_member IS
    'A memory in the 25 bytes that ranking reads: its id (8), its place in the log, which is the '
    'hash of its session before its ordinal (8), where it ends in its session (4), how many '
    'lexemes it has (4) and whether it is a standing instruction (1). In the database because '
    'blocks are built there.';

CREATE FUNCTION block_lock_key(tenant_id text, user_id text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT hashtext(length(tenant_id) || ':' || tenant_id || user_id) & 63 $$;
REVOKE EXECUTE ON FUNCTION block_lock_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION block_lock_key TO memory_client, memory_worker;
COMMENT ON FUNCTION block_lock_key IS
    'The advisory lock between those who build a user''s blocks and those who change memories: '
    'one for the users that share a number, so that one transaction never holds many. In the '
    'database because triggers take the lock.';

CREATE FUNCTION invalidate_blocks() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('recall_blocks'::regclass::oid::int, lock)
    FROM (SELECT DISTINCT block_lock_key(tenant_id, user_id) AS lock FROM moved) l;
    DELETE FROM recall_blocks b
    USING (SELECT DISTINCT tenant_id, user_id, generation, memory_id / 256 AS block FROM moved) m
    WHERE b.tenant_id = m.tenant_id AND b.user_id = m.user_id AND b.generation = m.generation
        AND b.block = m.block;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION invalidate_blocks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_blocks TO memory_client, memory_worker;
COMMENT ON FUNCTION invalidate_blocks IS
    'Removes the blocks of memories that came or went. Whoever builds a block has either '
    'committed it by then, so that it is seen here, or begins after this transaction ends, and '
    'sees what it did. In the database because extraction, forgetting and the jobs all write '
    'memories, and none may miss it.';

CREATE FUNCTION invalidate_block() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('recall_blocks'::regclass::oid::int,
        block_lock_key(NEW.tenant_id, NEW.user_id));
    DELETE FROM recall_blocks
    WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id AND generation = NEW.generation
        AND block = NEW.memory_id / 256;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION invalidate_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_block TO memory_client, memory_worker;
COMMENT ON FUNCTION invalidate_block IS
    'Removes the block of a memory that changed; in the database for the reason of '
    'invalidate_blocks.';

CREATE TRIGGER invalidate_blocks_on_insert AFTER INSERT ON memories
    REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_blocks();
CREATE TRIGGER invalidate_blocks_on_delete AFTER DELETE ON memories
    REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_blocks();
-- Neither the key nor the generation of a memory changes. What changes most often, how well it is
-- supported and how important it still is, is in no block.
CREATE TRIGGER invalidate_block_on_update AFTER UPDATE ON memories FOR EACH ROW
    WHEN ((OLD.believed_to IS NULL AND OLD.archived_at IS NULL)
            IS DISTINCT FROM (NEW.believed_to IS NULL AND NEW.archived_at IS NULL)
        OR (OLD.agent_id, OLD.session_id, OLD.ordinal, OLD.ordinal_to, OLD.attribute, OLD.lexemes)
            IS DISTINCT FROM
            (NEW.agent_id, NEW.session_id, NEW.ordinal, NEW.ordinal_to, NEW.attribute, NEW.lexemes))
    EXECUTE FUNCTION invalidate_block();

CREATE FUNCTION block_contents(tenant text, owner text, derived smallint, number bigint,
    OUT members bytea, OUT postings tsvector)
    LANGUAGE sql STABLE
AS $$
    WITH whole AS MATERIALIZED (
        SELECT count(agent_id) = 0 AS fits,
            string_agg(memory.encode_member(m), ''::bytea ORDER BY memory_id) AS members,
            memory.inverted_index(array_agg(lexemes ORDER BY memory_id)) AS postings
        FROM memory.memories m
        WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
            AND m.memory_id >= number * 256 AND m.memory_id < (number + 1) * 256
            AND m.believed_to IS NULL AND m.archived_at IS NULL
    )
    SELECT CASE WHEN fits AND postings IS NOT NULL THEN members END,
        CASE WHEN fits THEN postings END
    FROM whole
$$;
REVOKE EXECUTE ON FUNCTION block_contents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION block_contents TO memory_client, memory_worker;
COMMENT ON FUNCTION block_contents IS
    'What the block of these ids holds as the memories are now. In the database because those who '
    'build blocks and those who verify them have to say the same.';

CREATE FUNCTION build_block(tenant text, owner text, derived smallint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    made bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock('recall_blocks'::regclass::oid::int,
                                     block_lock_key(tenant, owner)) THEN
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
    FROM block_contents(tenant, owner, derived, made);
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION build_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION build_block TO memory_client, memory_worker;
COMMENT ON FUNCTION build_block IS
    'Builds the user''s next block of a generation; false if there is none to build, or not now. '
    'Ids up to the user''s change sequence are given out, so a block below it is whole. Memories '
    'that serve one agent alone, and more words than a tsvector holds, are read row by row. In '
    'the database because it waits for no one and looks under a lock: several statements of one '
    'transaction, in one round trip.';
