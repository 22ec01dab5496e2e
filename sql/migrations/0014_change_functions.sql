-- The triggers that keep the change stream: extraction, forgetting, the operators' jobs and
-- retraction all write memories, and none of them may be forgotten.

CREATE TYPE memory_change AS (
    tenant_id  text,
    user_id    text,
    change     text,
    memory_id  bigint,
    generation smallint,
    successor  bigint,
    memory     jsonb
);
COMMENT ON TYPE memory_change IS
    'A change before append_changes gives it its place. A type of its own, so that nothing '
    'depends on the order of the columns of a table.';

CREATE FUNCTION memory_as_json(m memories) RETURNS jsonb
    LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
        'kind', m.kind, 'text', m.text, 'attribute', m.attribute, 'value', m.value,
        'subject', m.subject, 'context', m.context, 'single_valued', m.single_valued,
        'contested', m.contested, 'agent', m.agent_id, 'session', m.session_id,
        'confidence', m.confidence, 'importance', m.importance, 'support', m.support,
        'occurred_at', m.occurred_at, 'valid_from', m.valid_from, 'valid_to', m.valid_to,
        'believed_from', m.believed_from, 'supersedes', m.supersedes, 'extractor', m.extractor,
        'extractor_version', m.extractor_version, 'model', m.model)
$$;
COMMENT ON FUNCTION memory_as_json IS
    'A memory as the change stream tells it. In the database because triggers write it.';

CREATE FUNCTION build_change(m memories, change text, successor bigint) RETURNS memory_change
    LANGUAGE sql STABLE
AS $$
    SELECT ROW(m.tenant_id, m.user_id, change, m.memory_id, m.generation, successor,
        CASE WHEN change IN ('added', 'reinforced') THEN memory.memory_as_json(m) END
        )::memory.memory_change
$$;
COMMENT ON FUNCTION build_change IS
    'One change to a memory. In the database because triggers keep it.';

CREATE FUNCTION append_changes(kept memory_change[]) RETURNS void
    LANGUAGE sql
AS $$
    WITH made AS (
        SELECT k.tenant_id, k.user_id, k.change, k.memory_id, k.generation, k.successor, k.memory,
            row_number() OVER w AS nth, count(*) OVER (PARTITION BY k.tenant_id, k.user_id)
                AS number
        FROM unnest(kept) WITH ORDINALITY AS k(tenant_id, user_id, change, memory_id, generation,
            successor, memory, ordinality)
        WINDOW w AS (PARTITION BY k.tenant_id, k.user_id ORDER BY k.ordinality)
    ), places AS (
        INSERT INTO memory.change_cursors AS p (tenant_id, user_id, last_seq, waiting_since)
        SELECT tenant_id, user_id, count(*), now() FROM made
        GROUP BY tenant_id, user_id ORDER BY tenant_id, user_id
        ON CONFLICT (tenant_id, user_id) DO UPDATE
            SET last_seq = p.last_seq + excluded.last_seq,
                waiting_since = COALESCE(p.waiting_since, excluded.waiting_since)
        RETURNING p.tenant_id, p.user_id, p.last_seq
    )
    INSERT INTO memory.changes (tenant_id, user_id, seq, change, memory_id, generation, successor,
        memory)
    SELECT m.tenant_id, m.user_id, p.last_seq - m.number + m.nth, m.change, m.memory_id,
        m.generation, m.successor, m.memory
    FROM made m JOIN places p USING (tenant_id, user_id)
$$;
COMMENT ON FUNCTION append_changes IS
    'Keeps changes under the next places of their users, in the order given. The row that hands '
    'the places out is held until the commit, so a user''s changes are seen in the order of their '
    'places. In the database because triggers call it.';

CREATE FUNCTION changes_enabled() RETURNS boolean
    LANGUAGE sql STABLE
AS $$
    SELECT current_setting('memory.changes', true) IS DISTINCT FROM 'off'
        AND EXISTS (SELECT FROM memory.change_stream WHERE enabled_at IS NOT NULL)
$$;
COMMENT ON FUNCTION changes_enabled() IS
    'Whether this transaction is to keep changes; one that only moves rows about says that it is '
    'not. In the database because triggers ask it.';

CREATE FUNCTION record_inserted_memories() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
BEGIN
    IF NOT changes_enabled() THEN
        RETURN NULL;
    END IF;
    -- What this transaction closed is superseded, where a new memory takes its place; directly, or
    -- by way of others that came and went at once.
    WITH RECURSIVE steps AS (
        SELECT tenant_id, user_id, supersedes AS closed, memory_id, believed_to
        FROM new_rows WHERE supersedes IS NOT NULL
        UNION
        SELECT s.tenant_id, s.user_id, s.closed, n.memory_id, n.believed_to
        FROM steps s JOIN new_rows n ON n.tenant_id = s.tenant_id AND n.user_id = s.user_id
            AND n.supersedes = s.memory_id
        WHERE s.believed_to IS NOT NULL
    ), successors AS (
        SELECT tenant_id, user_id, closed, max(memory_id) AS memory_id
        FROM steps WHERE believed_to IS NULL GROUP BY tenant_id, user_id, closed
    )
    UPDATE changes c SET change = 'superseded', successor = s.memory_id
    FROM successors s
    WHERE c.tenant_id = s.tenant_id AND c.user_id = s.user_id AND c.memory_id = s.closed
        AND c.change = 'withdrawn' AND c.transaction_id = pg_current_xact_id();
    PERFORM append_changes(array_agg(build_change(m, 'added', NULL) ORDER BY memory_id))
    FROM new_rows n JOIN memories m USING (tenant_id, user_id, memory_id)
    WHERE n.believed_to IS NULL AND n.archived_at IS NULL
        AND n.generation = (SELECT s.generation FROM serving_generation(n.tenant_id, n.user_id) s)
    HAVING count(*) > 0;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION record_inserted_memories IS
    'Keeps the changes of an INSERT. Only memories of the generation that serves their user are '
    'told of. In the database because a change has to be kept whoever writes memories.';

CREATE FUNCTION record_updated_memories() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
DECLARE
    kept memory_change[];
BEGIN
    IF NOT changes_enabled() THEN
        RETURN NULL;
    END IF;
    WITH merged AS (
        -- Of memories under one key that one statement closes, but for one, that one is the rest.
        SELECT tenant_id, user_id, generation, belief_key, max(memory_id) AS memory_id
        FROM new_rows
        WHERE believed_to IS NULL AND archived_at IS NULL AND supersedes IS NOT NULL
        GROUP BY tenant_id, user_id, generation, belief_key
    ), moved AS (
        SELECT n.tenant_id, n.user_id, n.memory_id, n.generation, k.memory_id AS successor, CASE
            WHEN o.believed_to IS NULL AND o.archived_at IS NULL THEN CASE
                WHEN n.believed_to IS NOT NULL AND k.memory_id IS NOT NULL THEN 'superseded'
                WHEN n.believed_to IS NOT NULL OR n.archived_at IS NOT NULL THEN 'withdrawn'
                WHEN (n.confidence, n.support, n.valid_from, n.valid_to, n.value, n.text,
                        n.contested) IS DISTINCT FROM
                    (o.confidence, o.support, o.valid_from, o.valid_to, o.value, o.text,
                        o.contested) THEN 'reinforced' END
            WHEN n.believed_to IS NULL AND n.archived_at IS NULL THEN 'added' END AS change
        FROM old_rows o
        JOIN new_rows n USING (tenant_id, user_id, memory_id)
        LEFT JOIN merged k ON n.believed_to IS NOT NULL AND k.tenant_id = n.tenant_id
            AND k.user_id = n.user_id AND k.generation = n.generation
            AND k.belief_key = n.belief_key
    )
    SELECT array_agg(build_change(m, v.change, v.successor) ORDER BY memory_id) INTO kept
    FROM moved v JOIN memories m USING (tenant_id, user_id, memory_id)
    WHERE v.change IS NOT NULL
        AND v.generation = (SELECT s.generation FROM serving_generation(v.tenant_id, v.user_id) s);
    IF kept IS NOT NULL THEN
        PERFORM append_changes(kept);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION record_updated_memories IS
    'Keeps the changes of an UPDATE. Importance alone, which time lowers everywhere, is no '
    'change. In the database for the reason of record_inserted_memories.';

CREATE FUNCTION record_deleted_memories() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
BEGIN
    IF current_setting('memory.changes', true) = 'off' THEN
        RETURN NULL;
    END IF;
    IF changes_enabled() THEN
        PERFORM append_changes(array_agg(ROW(o.tenant_id, o.user_id, 'forgotten', o.memory_id,
            o.generation, NULL, NULL)::memory_change ORDER BY o.memory_id))
        FROM old_rows o JOIN generations g USING (generation)
        WHERE g.state <> 'shadow' OR g.percent > 0
        HAVING count(*) > 0;
    END IF;
    UPDATE changes c SET memory = NULL FROM old_rows o
    WHERE c.tenant_id = o.tenant_id AND c.user_id = o.user_id AND c.memory_id = o.memory_id
        AND c.memory IS NOT NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION record_deleted_memories IS
    'Keeps the changes of a DELETE: of what is gone its number alone is told, and what waits to '
    'be told of it loses its words. What may have been told of it before a generation was retired '
    'is gone as well. In the database for the reason of record_inserted_memories.';

CREATE TRIGGER changes_on_insert AFTER INSERT ON memories REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_inserted_memories();
CREATE TRIGGER changes_on_update AFTER UPDATE ON memories
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_updated_memories();
CREATE TRIGGER changes_on_delete AFTER DELETE ON memories REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_deleted_memories();

-- Publishers are woken where a user's changes begin to wait, as workers are where users turn due.
CREATE CONSTRAINT TRIGGER notify_changes_on_insert AFTER INSERT ON change_cursors
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.waiting_since IS NOT NULL)
    EXECUTE FUNCTION notify_channel('memory_changes');
CREATE CONSTRAINT TRIGGER notify_changes_on_update AFTER UPDATE ON change_cursors
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.waiting_since IS NULL AND NEW.waiting_since IS NOT NULL)
    EXECUTE FUNCTION notify_channel('memory_changes');
