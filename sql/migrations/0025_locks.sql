-- No lock that a client can take stops another tenant. Advisory locks are anybody's, and LOCK TABLE
-- asks for a right to update or delete that covers the table: so what clients wait for are rows that
-- only their own user or tenant can lock, they may update columns, and functions delete for them.

-- ======== who is just about to notify

CREATE TABLE notification_turns (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    channel   text NOT NULL,
    PRIMARY KEY (tenant_id, channel)
);
COMMENT ON TABLE notification_turns IS
    'Who holds a row is just about to notify of its tenant, so others of the tenant need not.';
CALL protect_tenant_table('notification_turns');
CREATE POLICY notifying ON notification_turns TO memory_worker USING (bound_tenant() IS NULL);

CREATE OR REPLACE FUNCTION notify_channel() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM FROM notification_turns
    WHERE tenant_id = NEW.tenant_id AND channel = TG_ARGV[0]
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND COALESCE(bound_tenant(), NEW.tenant_id) = NEW.tenant_id THEN
        IF EXISTS (SELECT FROM notification_turns
                   WHERE tenant_id = NEW.tenant_id AND channel = TG_ARGV[0]) THEN
            RETURN NULL;
        END IF;
        INSERT INTO notification_turns (tenant_id, channel) VALUES (NEW.tenant_id, TG_ARGV[0])
        ON CONFLICT DO NOTHING;
    END IF;
    -- A full queue would fail the commit, and whoever may connect can fill it.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify(TG_ARGV[0], '');
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION notify_channel FROM PUBLIC;
GRANT CREATE ON SCHEMA memory TO memory_worker;
ALTER FUNCTION notify_channel OWNER TO memory_worker;
COMMENT ON FUNCTION notify_channel IS
    'Notifies the trigger''s channel at commit, unless another transaction of the tenant is just '
    'about to: a commit that notifies keeps every other one that does waiting for its write to '
    'disk. Who listens looks again a little later, for those that left it to another. In the '
    'database because a trigger calls it, whichever way the row was written; it runs as the worker, '
    'since a client must not hold the row on which another tenant''s notification waits.';

-- ======== deleting for a client

CREATE FUNCTION delete_task_state(of_session text, of_key text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM task_state
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND session_id = of_session
        AND key = of_key
$$;
COMMENT ON FUNCTION delete_task_state IS
    'Deletes one key of a session of the bound user. In the '
    'database for the reason of delete_memories.';

CREATE FUNCTION delete_sessions(of_session text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM task_state
    WHERE tenant_id = bound_tenant() AND user_id = bound_user()
        AND (of_session IS NULL OR session_id = of_session);
    DELETE FROM session_progress
    WHERE tenant_id = bound_tenant() AND user_id = bound_user()
        AND (of_session IS NULL OR session_id = of_session);
    DELETE FROM sessions
    WHERE tenant_id = bound_tenant() AND user_id = bound_user()
        AND (of_session IS NULL OR session_id = of_session)
$$;
COMMENT ON FUNCTION delete_sessions IS
    'Deletes a session of the bound user, or all, with task state and progress. In '
    'the database for the reason of delete_memories.';

CREATE FUNCTION delete_interactions(ids text[])
    RETURNS TABLE (interaction_id text, session_id text, ordinal int)
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM retractions r
    WHERE r.tenant_id = bound_tenant() AND r.user_id = bound_user()
        AND r.interaction_id = ANY(ids);
    DELETE FROM interactions i
    WHERE i.tenant_id = bound_tenant() AND i.user_id = bound_user()
        AND i.interaction_id = ANY(ids)
    RETURNING i.interaction_id, i.session_id, i.ordinal
$$;
COMMENT ON FUNCTION delete_interactions IS
    'Deletes interactions of the bound user, with their retractions. In the '
    'database for the reason of delete_memories.';

CREATE FUNCTION delete_assertions(of_generation smallint, ids bytea[], keys bytea[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM assertions
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND generation = of_generation
        AND (assertion_id = ANY(ids) OR belief_key = ANY(keys))
$$;
COMMENT ON FUNCTION delete_assertions IS
    'Deletes assertions of the bound user, by their ids or their belief keys. In the '
    'database for the reason of delete_memories.';

CREATE FUNCTION delete_memories(of_generation smallint, keys bytea[]) RETURNS SETOF bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM memories
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND generation = of_generation
        AND belief_key = ANY(keys)
    RETURNING memory_id
$$;
COMMENT ON FUNCTION delete_memories IS
    'Deletes the bound user''s memories under these belief keys, with evidence and vectors, and '
    'returns their ids. In the database because a client may delete from no table itself: it could '
    'lock the table for everybody. It runs as the worker, held to the bound user.';

CREATE FUNCTION delete_derived() RETURNS SETOF bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM assertions WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM forgotten_beliefs WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM review_decisions WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM generation_progress WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM memories WHERE tenant_id = bound_tenant() AND user_id = bound_user()
    RETURNING memory_id
$$;
COMMENT ON FUNCTION delete_derived IS
    'Deletes all that was derived of the bound user and returns the ids of the memories. '
    'In the database for the reason of delete_memories.';

CREATE FUNCTION delete_review_decision(of_proposal bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM review_decisions
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND proposal = of_proposal
$$;
COMMENT ON FUNCTION delete_review_decision IS
    'Deletes the bound user''s decision on a proposal. In the '
    'database for the reason of delete_memories.';

CREATE FUNCTION delete_model_answers() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$ DELETE FROM model_answers WHERE tenant_id = bound_tenant() AND user_id = bound_user() $$;
COMMENT ON FUNCTION delete_model_answers IS
    'Deletes what models answered about the bound user. In the '
    'database for the reason of delete_memories.';

CREATE FUNCTION delete_model_calls() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$ DELETE FROM model_calls WHERE tenant_id = bound_tenant() AND user_id = bound_user() $$;
COMMENT ON FUNCTION delete_model_calls IS
    'Deletes every model call about the bound user. In the '
    'database for the reason of delete_memories.';

CREATE FUNCTION delete_blocks(generations smallint[], numbers bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = memory, pg_temp
AS $$
    DELETE FROM recall_blocks b
    USING unnest(generations, numbers) AS m(generation, block)
    WHERE b.tenant_id = bound_tenant() AND b.user_id = bound_user()
        AND b.generation = m.generation AND b.block = m.block
$$;
COMMENT ON FUNCTION delete_blocks IS
    'Deletes recall blocks of the bound user. In the '
    'database for the reason of delete_memories.';

REVOKE EXECUTE ON FUNCTION delete_task_state, delete_sessions, delete_interactions,
    delete_assertions, delete_memories, delete_derived, delete_review_decision, delete_model_answers, delete_model_calls,
    delete_blocks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_task_state, delete_sessions, delete_interactions,
    delete_assertions, delete_memories, delete_derived, delete_review_decision, delete_model_answers, delete_model_calls,
    delete_blocks TO memory_client, memory_worker;
ALTER FUNCTION delete_task_state OWNER TO memory_worker;
ALTER FUNCTION delete_sessions OWNER TO memory_worker;
ALTER FUNCTION delete_interactions OWNER TO memory_worker;
ALTER FUNCTION delete_assertions OWNER TO memory_worker;
ALTER FUNCTION delete_memories OWNER TO memory_worker;
ALTER FUNCTION delete_derived OWNER TO memory_worker;
ALTER FUNCTION delete_review_decision OWNER TO memory_worker;
ALTER FUNCTION delete_model_answers OWNER TO memory_worker;
ALTER FUNCTION delete_model_calls OWNER TO memory_worker;
ALTER FUNCTION delete_blocks OWNER TO memory_worker;
REVOKE CREATE ON SCHEMA memory FROM memory_worker;

-- ======== recall blocks, under the lock of the user's row

CREATE OR REPLACE FUNCTION invalidate_blocks() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM FROM (SELECT DISTINCT tenant_id, user_id FROM moved) m
    JOIN users u ON u.tenant_id = m.tenant_id AND u.user_id = m.user_id
    FOR KEY SHARE OF u;
    IF has_table_privilege('recall_blocks', 'DELETE') THEN
        DELETE FROM recall_blocks b
        USING (SELECT DISTINCT tenant_id, user_id, generation, memory_id / 256 AS block FROM moved) m
        WHERE b.tenant_id = m.tenant_id AND b.user_id = m.user_id AND b.generation = m.generation
            AND b.block = m.block;
    ELSE
        PERFORM delete_blocks(array_agg(generation), array_agg(block))
        FROM (SELECT DISTINCT generation, memory_id / 256 AS block FROM moved) m;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION invalidate_blocks IS
    'Removes the blocks of memories that came or went. Who changes memories shares the lock of the '
    'user''s row, and who builds a block has it alone: the block is either committed by then, so '
    'that it is seen here, or begun after this transaction ends, so that it sees what this did. In '
    'the database because extraction, forgetting and the jobs all write memories, and none may miss '
    'it.';

CREATE OR REPLACE FUNCTION invalidate_block() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM FROM users WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id FOR KEY SHARE;
    IF has_table_privilege('recall_blocks', 'DELETE') THEN
        DELETE FROM recall_blocks
        WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id AND generation = NEW.generation
            AND block = NEW.memory_id / 256;
    ELSE
        PERFORM delete_blocks(ARRAY[NEW.generation], ARRAY[NEW.memory_id / 256]);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION build_block(tenant text, owner text, derived smallint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    made bigint;
BEGIN
    PERFORM FROM users WHERE tenant_id = tenant AND user_id = owner FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
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

DROP FUNCTION block_lock_key;

-- ======== what a client may write

CREATE PROCEDURE secure_tables()
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
DECLARE
    written record;
BEGIN
    FOR written IN
        SELECT c.oid::regclass AS name, string_agg(quote_ident(a.attname), ', ') AS columns
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname NOT IN ('tenant_id', 'user_id')
        WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind IN ('r', 'p')
            AND has_table_privilege('memory_client', c.oid, 'INSERT')
        GROUP BY c.oid
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM memory_client',
            written.name);
        EXECUTE format('GRANT UPDATE (%s) ON %s TO memory_client', written.columns, written.name);
    END LOOP;
    CALL keep_no_statistics();
END $$;
REVOKE EXECUTE ON PROCEDURE secure_tables FROM PUBLIC;
COMMENT ON PROCEDURE secure_tables() IS
    'Lets clients update every column of the tables that they write, but never whose a row is, and '
    'delete nothing: who may update or delete by a right to the whole table may lock the table. '
    'Then keep_no_statistics. In the database because every migration that makes a table, a column '
    'or an index over an expression calls it.';

CALL secure_tables();
