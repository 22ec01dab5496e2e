-- What recall reads of 256 memories at once, where it would read 256 rows.

-- A block holds what is looked at of a user's current memories with ids from 256 * block on, in the
-- order of their ids. It says only what `memories` says: a memory that comes, goes or changes takes
-- its block away in the same transaction, what no block holds is read row by row, and `seal_block`
-- makes blocks anew, out of anybody's way.
CREATE TABLE recall_blocks (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    generation smallint NOT NULL,
    block      bigint NOT NULL,
    members    bytea,       -- of each as `member` writes it; NULL: to be read row by row
    postings   tsvector,    -- each lexeme with the places, from 1, of the members that hold it
    PRIMARY KEY (tenant_id, user_id, generation, block)
);
-- Unpacking takes longer than reading; and what users said is in no statistics, see 0006.
ALTER TABLE recall_blocks
    ALTER COLUMN members SET STORAGE EXTERNAL,
    ALTER COLUMN members SET STATISTICS 0,
    ALTER COLUMN postings SET STORAGE EXTERNAL,
    ALTER COLUMN postings SET STATISTICS 0;
ALTER TABLE recall_blocks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY client ON recall_blocks TO memory_client
    USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON recall_blocks TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON recall_blocks TO memory_client, memory_worker;

-- What lies between blocks is found by id.
DROP INDEX memories_current;
CREATE INDEX memories_current ON memories (tenant_id, user_id, generation, memory_id)
    WHERE believed_to IS NULL AND archived_at IS NULL;

-- A memory in 25 bytes: its id, its place (see `recall.scores`), where it ends in its session, how
-- many lexemes it has, and whether it is a standing instruction.
CREATE FUNCTION member(m memories) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN int8send(m.memory_id)
        || int8send((COALESCE(hashtext(m.session_id), 0)::bigint << 32) + COALESCE(m.ordinal, 0))
        || int4send(COALESCE(m.ordinal_to, 0)) || int4send(length(m.lexemes))
        || boolsend(m.attribute IS NOT DISTINCT FROM 'instruction');

-- Whose blocks are made waits for nobody, and who changes memories waits for a block to be made: one
-- lock for the users that share a number, so that one transaction never holds many.
CREATE FUNCTION block_lock(tenant_id text, user_id text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtext(length(tenant_id) || ':' || tenant_id || user_id) & 63;

-- Takes away the blocks of memories that came or went. Whoever makes a block has either committed
-- it by then, so that it is seen here, or begins after this transaction ends, and sees what it did.
CREATE FUNCTION unseal_moved() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('recall_blocks'::regclass::oid::int, lock)
    FROM (SELECT DISTINCT block_lock(tenant_id, user_id) AS lock FROM moved) l;
    DELETE FROM recall_blocks b
    USING (SELECT DISTINCT tenant_id, user_id, generation, memory_id / 256 AS block FROM moved) m
    WHERE b.tenant_id = m.tenant_id AND b.user_id = m.user_id AND b.generation = m.generation
        AND b.block = m.block;
    RETURN NULL;
END $$;

CREATE FUNCTION unseal_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('recall_blocks'::regclass::oid::int,
        block_lock(NEW.tenant_id, NEW.user_id));
    DELETE FROM recall_blocks
    WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id AND generation = NEW.generation
        AND block = NEW.memory_id / 256;
    RETURN NULL;
END $$;

CREATE TRIGGER unsealed_insert AFTER INSERT ON memories REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION unseal_moved();
CREATE TRIGGER unsealed_delete AFTER DELETE ON memories REFERENCING OLD TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION unseal_moved();
-- Neither the key nor the generation of a memory changes. What changes most often, how well it is
-- supported and how important it still is, is in no block.
CREATE TRIGGER unsealed_update AFTER UPDATE ON memories FOR EACH ROW
    WHEN ((OLD.believed_to IS NULL AND OLD.archived_at IS NULL)
            IS DISTINCT FROM (NEW.believed_to IS NULL AND NEW.archived_at IS NULL)
        OR (OLD.agent_id, OLD.session_id, OLD.ordinal, OLD.ordinal_to, OLD.attribute, OLD.lexemes)
            IS DISTINCT FROM
            (NEW.agent_id, NEW.session_id, NEW.ordinal, NEW.ordinal_to, NEW.attribute, NEW.lexemes))
    EXECUTE FUNCTION unseal_changed();

-- Makes the user's next block of a generation; false if there is none to be made, or not now. Ids
-- up to the user's change sequence are given out, so a block below it is whole. Memories that serve
-- one agent alone, and more words than a tsvector holds, are read row by row.
CREATE FUNCTION seal_block(tenant text, owner text, derived smallint) RETURNS boolean
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
    WITH mine AS MATERIALIZED (
        SELECT row_number() OVER (ORDER BY memory_id) AS nth, memory_id, agent_id, lexemes,
            member(m) AS member
        FROM memories m
        WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
            AND m.memory_id >= made * 256 AND m.memory_id < (made + 1) * 256
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
    SELECT tenant, owner, derived, made, CASE WHEN fits THEN members END,
        CASE WHEN fits THEN (SELECT postings::tsvector FROM written) END
    FROM whole;
    RETURN true;
END $$;

REVOKE EXECUTE ON FUNCTION member, block_lock, unseal_moved, unseal_changed, seal_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION member, block_lock, unseal_moved, unseal_changed, seal_block
    TO memory_client, memory_worker;
