-- The change stream: what became of memories, kept by the transaction that did it until it is
-- published. Triggers keep it, since extraction, forgetting, the operators' jobs and retraction all
-- write memories, and none of them may be forgotten.

-- Whether changes are kept: what nobody publishes would grow for ever. And who publishes them.
CREATE TABLE change_stream (
    the_one      boolean PRIMARY KEY DEFAULT true CHECK (the_one),
    enabled_at   timestamptz,                -- NULL: changes are not kept
    token        uuid,
    leased_until timestamptz
);
INSERT INTO change_stream DEFAULT VALUES;
GRANT SELECT ON change_stream TO memory_client;
GRANT SELECT, UPDATE ON change_stream TO memory_worker;

-- How many changes a user's memories went through, and how many of them were published. A row of its
-- own rather than the user's, which every `record()` wants.
CREATE TABLE change_places (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    last_seq      bigint NOT NULL DEFAULT 0,
    published_seq bigint NOT NULL DEFAULT 0,
    waiting_since timestamptz,               -- of the oldest change not published
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX change_places_waiting ON change_places (waiting_since)
    WHERE waiting_since IS NOT NULL;

CREATE TABLE changes (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    seq        bigint NOT NULL,               -- 1, 2, 3 … of the user, without gaps
    change     text NOT NULL,
    memory_id  bigint,                        -- NULL: of no single one
    generation smallint NOT NULL,
    successor  bigint,                        -- what took its place
    memory     jsonb,                         -- as it is now; NULL where it is gone
    at         timestamptz NOT NULL DEFAULT now(),
    made_in    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CHECK (change IN ('reset', 'added', 'reinforced', 'superseded', 'withdrawn', 'forgotten')),
    PRIMARY KEY (tenant_id, user_id, seq)
);
CREATE INDEX changes_memory ON changes (tenant_id, user_id, memory_id);
-- What users said: see 0006.
ALTER TABLE changes ALTER COLUMN memory SET STATISTICS 0;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['change_places', 'changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY client ON %I TO memory_client
                 USING (tenant_id = bound_tenant() AND user_id = bound_user())', name);
        EXECUTE format(
            'CREATE POLICY worker ON %I TO memory_worker USING (tenant_id = bound_tenant())', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO memory_client, memory_worker',
                       name);
    END LOOP;
END $$;
-- A publisher that is bound to nothing sees of whom changes wait, and nothing of what they say.
CREATE POLICY publishing ON change_places FOR SELECT TO memory_worker
    USING (bound_tenant() IS NULL);

-- A memory as the stream tells it. Functions whose bodies were read here need no search_path, and
-- without one they are inlined.
CREATE FUNCTION told(m memories) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object(
        'kind', m.kind, 'text', m.text, 'attribute', m.attribute, 'value', m.value,
        'subject', m.subject, 'context', m.context, 'single_valued', m.single_valued,
        'contested', m.contested, 'agent', m.agent_id, 'session', m.session_id,
        'confidence', m.confidence, 'importance', m.importance, 'support', m.support,
        'occurred_at', m.occurred_at, 'valid_from', m.valid_from, 'valid_to', m.valid_to,
        'believed_from', m.believed_from, 'supersedes', m.supersedes, 'extractor', m.extractor,
        'extractor_version', m.extractor_version, 'model', m.model);

-- One change to a memory; its place among the user's is given when it is kept.
CREATE FUNCTION change_of(m memories, change text, successor bigint) RETURNS changes
    LANGUAGE sql STABLE
    RETURN ROW(m.tenant_id, m.user_id, 0, change, m.memory_id, m.generation, successor,
        CASE WHEN change IN ('added', 'reinforced') THEN told(m) END, now(), NULL)::changes;

-- Keeps changes under the next places of their users, in the order given. The row that hands the
-- places out is held until the commit, so a user's changes are seen in the order of their places.
CREATE FUNCTION keep_changes(kept changes[]) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    WITH made AS (
        SELECT k.tenant_id, k.user_id, k.change, k.memory_id, k.generation, k.successor, k.memory,
            k.at, row_number() OVER w AS nth, count(*) OVER (PARTITION BY k.tenant_id, k.user_id)
                AS number
        FROM unnest(kept) WITH ORDINALITY AS k(tenant_id, user_id, seq, change, memory_id,
            generation, successor, memory, at, made_in, ordinality)
        WINDOW w AS (PARTITION BY k.tenant_id, k.user_id ORDER BY k.ordinality)
    ), places AS (
        INSERT INTO change_places AS p (tenant_id, user_id, last_seq, waiting_since)
        SELECT tenant_id, user_id, count(*), now() FROM made
        GROUP BY tenant_id, user_id ORDER BY tenant_id, user_id
        ON CONFLICT (tenant_id, user_id) DO UPDATE
            SET last_seq = p.last_seq + excluded.last_seq,
                waiting_since = COALESCE(p.waiting_since, excluded.waiting_since)
        RETURNING p.tenant_id, p.user_id, p.last_seq
    )
    INSERT INTO changes (tenant_id, user_id, seq, change, memory_id, generation, successor, memory,
        at)
    SELECT m.tenant_id, m.user_id, p.last_seq - m.number + m.nth, m.change, m.memory_id,
        m.generation, m.successor, m.memory, m.at
    FROM made m JOIN places p USING (tenant_id, user_id);
END;

-- Whether this transaction is to keep changes; one that only moves rows about says that it is not.
CREATE FUNCTION changes_are_kept() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN current_setting('memory.changes', true) IS DISTINCT FROM 'off'
        AND EXISTS (SELECT FROM change_stream WHERE enabled_at IS NOT NULL);

-- Only memories of the generation that serves their user are told of.
CREATE FUNCTION keep_insert() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
BEGIN
    IF NOT changes_are_kept() THEN
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
        AND c.change = 'withdrawn' AND c.made_in = pg_current_xact_id();
    PERFORM keep_changes(array_agg(change_of(m, 'added', NULL) ORDER BY memory_id))
    FROM new_rows n JOIN memories m USING (tenant_id, user_id, memory_id)
    WHERE n.believed_to IS NULL AND n.archived_at IS NULL
        AND n.generation = (SELECT s.generation FROM serving(n.tenant_id, n.user_id) s)
    HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- Importance alone, which time lowers everywhere, is no change.
CREATE FUNCTION keep_update() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
DECLARE
    kept changes[];
BEGIN
    IF NOT changes_are_kept() THEN
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
    SELECT array_agg(change_of(m, v.change, v.successor) ORDER BY memory_id) INTO kept
    FROM moved v JOIN memories m USING (tenant_id, user_id, memory_id)
    WHERE v.change IS NOT NULL
        AND v.generation = (SELECT s.generation FROM serving(v.tenant_id, v.user_id) s);
    IF kept IS NOT NULL THEN
        PERFORM keep_changes(kept);
    END IF;
    RETURN NULL;
END $$;

-- Of what is gone its number alone is told, and what waits to be told of it loses its words. What
-- may have been told of it before a generation was retired is gone as well.
CREATE FUNCTION keep_delete() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
BEGIN
    IF current_setting('memory.changes', true) = 'off' THEN
        RETURN NULL;
    END IF;
    IF changes_are_kept() THEN
        PERFORM keep_changes(array_agg(ROW(o.tenant_id, o.user_id, 0, 'forgotten', o.memory_id,
            o.generation, NULL, NULL, now(), NULL)::changes ORDER BY o.memory_id))
        FROM old_rows o JOIN generations g USING (generation)
        WHERE g.state <> 'shadow' OR g.percent > 0
        HAVING count(*) > 0;
    END IF;
    UPDATE changes c SET memory = NULL FROM old_rows o
    WHERE c.tenant_id = o.tenant_id AND c.user_id = o.user_id AND c.memory_id = o.memory_id
        AND c.memory IS NOT NULL;
    RETURN NULL;
END $$;

CREATE TRIGGER kept_insert AFTER INSERT ON memories REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_insert();
CREATE TRIGGER kept_update AFTER UPDATE ON memories
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_update();
CREATE TRIGGER kept_delete AFTER DELETE ON memories REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_delete();

-- As in 0011: publishers are woken where a user's changes begin to wait.
CREATE CONSTRAINT TRIGGER began_waiting AFTER INSERT ON change_places
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.waiting_since IS NOT NULL)
    EXECUTE FUNCTION wake('memory_changes');
CREATE CONSTRAINT TRIGGER waits_again AFTER UPDATE ON change_places
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.waiting_since IS NULL AND NEW.waiting_since IS NOT NULL)
    EXECUTE FUNCTION wake('memory_changes');
