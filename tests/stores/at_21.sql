-- A store made by the code that had 21 migrations of the 21 before the baseline, as `pg_dump
-- --schema=memory --column-inserts` wrote it, without owners but for the worker's functions.

SET check_function_bodies = off;
SET search_path = '';
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
DO $$ BEGIN
    CREATE ROLE memory_client NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE memory_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
CREATE SCHEMA memory;
CREATE PROCEDURE memory.append_interaction(IN for_tenant text, IN for_user text, IN session text, IN agent text, IN private boolean, IN id text, IN digest bytea, IN kind text, IN role text, IN actor text, IN content text, IN payload jsonb, IN at timestamp with time zone, IN source text, IN hash bytea, IN session_ttl double precision, OUT ordinal integer, OUT "position" bigint)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    IF COALESCE(bound_tenant(), for_tenant) <> for_tenant
        OR COALESCE(bound_user(), for_user) <> for_user THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'bound to user %L of tenant %L, asked to append for user %L of tenant %L',
            bound_user(), bound_tenant(), for_user, for_tenant);
    END IF;
    PERFORM set_config('memory.tenant_id', for_tenant, true),
        set_config('memory.user_id', for_user, true);
    IF EXISTS (SELECT FROM interactions i WHERE i.tenant_id = for_tenant AND i.user_id = for_user
                AND i.interaction_id = id)
        OR EXISTS (SELECT FROM tombstones t WHERE t.tenant_id = for_tenant AND t.user_id = for_user
                    AND t.id_digest = digest) THEN
        RETURN;
    END IF;
    INSERT INTO users AS u (tenant_id, user_id, position, recorded_at, due_at, backfill)
    VALUES (for_tenant, for_user, 1, now(), now(), starts_with(source, 'import:'))
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + 1, recorded_at = now(), due_at = LEAST(u.due_at, now()),
            backfill = excluded.backfill AND (u.backfill OR u.due_at IS NULL)
    RETURNING u.position INTO position;
    INSERT INTO sessions AS s (tenant_id, user_id, session_id, agent_id, length, started_at,
        last_at, expires_at)
    VALUES (for_tenant, for_user, session, agent, 1, at, at,
        GREATEST(at, now()) + make_interval(secs => session_ttl))
    ON CONFLICT (tenant_id, user_id, session_id) DO UPDATE
        SET length = s.length + 1,
            started_at = LEAST(s.started_at, excluded.started_at),
            last_at = GREATEST(s.last_at, excluded.last_at),
            expires_at = GREATEST(s.expires_at, excluded.expires_at),
            closed_at = NULL
    RETURNING s.length INTO ordinal;
    INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
        agent_id, private, kind, role, actor, content, payload, occurred_at, source, content_hash)
    VALUES (for_tenant, for_user, session, ordinal, position, id, agent, private, kind, role, actor,
        content, payload, at, source, hash);
END $$;
CREATE FUNCTION memory.block_lock(tenant_id text, user_id text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashtext((((length(tenant_id) || ':'::text) || tenant_id) || user_id)) & 63);
CREATE FUNCTION memory.block_of(tenant text, owner text, derived smallint, number bigint, OUT members bytea, OUT postings tsvector) RETURNS record
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
CREATE FUNCTION memory.bound_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('memory.tenant_id'::text, true), ''::text);
CREATE FUNCTION memory.bound_user() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('memory.user_id'::text, true), ''::text);
CREATE TABLE memory.memories (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    memory_id bigint NOT NULL,
    generation smallint NOT NULL,
    belief_key bytea NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    attribute text,
    value text,
    subject text,
    context text,
    single_valued boolean NOT NULL,
    agent_id text,
    session_id text,
    ordinal integer,
    ordinal_to integer,
    confidence real NOT NULL,
    importance real NOT NULL,
    support integer NOT NULL,
    tokens integer NOT NULL,
    payload jsonb NOT NULL,
    lexemes tsvector NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    believed_from timestamp with time zone NOT NULL,
    believed_to timestamp with time zone,
    supersedes bigint,
    archived_at timestamp with time zone,
    extractor text NOT NULL,
    extractor_version text NOT NULL,
    prompt text,
    prompt_version text,
    prompt_hash text,
    model text,
    initial_importance real,
    contested text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT memories_check CHECK (((valid_to IS NULL) OR (valid_to >= valid_from))),
    CONSTRAINT memories_check1 CHECK (((believed_to IS NULL) OR (believed_to >= believed_from))),
    CONSTRAINT memories_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT memories_importance_check CHECK (((importance >= (0)::double precision) AND (importance <= (1)::double precision))),
    CONSTRAINT memories_initial_importance_check CHECK (((initial_importance >= (0)::double precision) AND (initial_importance <= (1)::double precision))),
    CONSTRAINT memories_kind_check CHECK ((kind = ANY (ARRAY['episode'::text, 'fact'::text, 'preference'::text, 'procedure'::text, 'summary'::text]))),
    CONSTRAINT memories_support_check CHECK ((support > 0))
);
ALTER TABLE ONLY memory.memories ALTER COLUMN text SET STATISTICS 0;
ALTER TABLE ONLY memory.memories ALTER COLUMN attribute SET STATISTICS 0;
ALTER TABLE ONLY memory.memories ALTER COLUMN value SET STATISTICS 0;
ALTER TABLE ONLY memory.memories ALTER COLUMN subject SET STATISTICS 0;
ALTER TABLE ONLY memory.memories ALTER COLUMN context SET STATISTICS 0;
ALTER TABLE ONLY memory.memories ALTER COLUMN contested SET STATISTICS 0;
ALTER TABLE ONLY memory.memories FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.told(m memory.memories) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN jsonb_build_object('kind', (m).kind, 'text', (m).text, 'attribute', (m).attribute, 'value', (m).value, 'subject', (m).subject, 'context', (m).context, 'single_valued', (m).single_valued, 'contested', (m).contested, 'agent', (m).agent_id, 'session', (m).session_id, 'confidence', (m).confidence, 'importance', (m).importance, 'support', (m).support, 'occurred_at', (m).occurred_at, 'valid_from', (m).valid_from, 'valid_to', (m).valid_to, 'believed_from', (m).believed_from, 'supersedes', (m).supersedes, 'extractor', (m).extractor, 'extractor_version', (m).extractor_version, 'model', (m).model);
CREATE TABLE memory.changes (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    seq bigint NOT NULL,
    change text NOT NULL,
    memory_id bigint,
    generation smallint NOT NULL,
    successor bigint,
    memory jsonb,
    at timestamp with time zone DEFAULT now() NOT NULL,
    made_in xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT changes_change_check CHECK ((change = ANY (ARRAY['reset'::text, 'added'::text, 'reinforced'::text, 'superseded'::text, 'withdrawn'::text, 'forgotten'::text])))
);
ALTER TABLE ONLY memory.changes ALTER COLUMN memory SET STATISTICS 0;
ALTER TABLE ONLY memory.changes FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.change_of(m memory.memories, change text, successor bigint) RETURNS memory.changes
    LANGUAGE sql STABLE
    RETURN ROW((m).tenant_id, (m).user_id, (0)::bigint, change, (m).memory_id, (m).generation, successor, CASE WHEN (change = ANY (ARRAY['added'::text, 'reinforced'::text])) THEN memory.told(m) ELSE NULL::jsonb END, now(), NULL::xid8)::memory.changes;
CREATE TABLE memory.change_stream (
    the_one boolean DEFAULT true NOT NULL,
    enabled_at timestamp with time zone,
    token uuid,
    leased_until timestamp with time zone,
    CONSTRAINT change_stream_the_one_check CHECK (the_one)
);
CREATE FUNCTION memory.changes_are_kept() RETURNS boolean
    LANGUAGE sql STABLE
    RETURN ((current_setting('memory.changes'::text, true) IS DISTINCT FROM 'off'::text) AND (EXISTS (SELECT FROM memory.change_stream WHERE (change_stream.enabled_at IS NOT NULL))));
CREATE FUNCTION memory.collective_block_of(tenant text, number bigint) RETURNS TABLE(members integer, total bigint, words integer[], postings tsvector)
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
CREATE TABLE memory.tenants (
    tenant_id text NOT NULL,
    policy jsonb DEFAULT '{}'::jsonb NOT NULL,
    change_seq bigint DEFAULT 0 NOT NULL,
    secret bytea DEFAULT (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) NOT NULL,
    CONSTRAINT policy_readable CHECK (((jsonb_typeof(policy) = 'object'::text) AND (COALESCE(((policy ->> 'k'::text))::integer, 5) >= 2) AND ((COALESCE(((policy ->> 'jitter'::text))::integer, 0) >= 0) AND (COALESCE(((policy ->> 'jitter'::text))::integer, 0) <= 1000)))),
    CONSTRAINT tenants_tenant_id_check CHECK ((tenant_id <> ''::text))
);
ALTER TABLE ONLY memory.tenants FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.collective_digest(belief_key bytea) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path TO 'memory', 'pg_temp'
    RETURN (SELECT sha256((tenants.secret || collective_digest.belief_key)) AS sha256 FROM memory.tenants WHERE (tenants.tenant_id = memory.bound_tenant()));
CREATE FUNCTION memory.collective_spread() RETURNS integer
    LANGUAGE sql STABLE
    SET search_path TO 'memory', 'pg_temp'
    RETURN GREATEST(0, COALESCE((SELECT ((tenants.policy ->> 'jitter'::text))::integer AS int4 FROM memory.tenants WHERE (tenants.tenant_id = memory.bound_tenant())), 2));
CREATE TABLE memory.collective_withdrawals (
    tenant_id text NOT NULL,
    belief_digest bytea NOT NULL,
    times integer DEFAULT 1 NOT NULL,
    withdrawn_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY memory.collective_withdrawals FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.collective_jitter(belief_key bytea, threshold text) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path TO 'memory', 'pg_temp'
    RETURN (SELECT (((get_byte(d.draw, 0) * 256) + get_byte(d.draw, 1)) % (memory.collective_spread() + 1)) FROM ((memory.tenants t LEFT JOIN memory.collective_withdrawals w ON (((w.tenant_id = t.tenant_id) AND (w.belief_digest = sha256((t.secret || collective_jitter.belief_key)))))) CROSS JOIN LATERAL (SELECT sha256(((t.secret || collective_jitter.belief_key) || convert_to(concat_ws(' '::text, collective_jitter.threshold, COALESCE(w.times, 0)), 'UTF8'::name))) AS draw) d) WHERE (t.tenant_id = memory.bound_tenant()));
CREATE FUNCTION memory.collective_k() RETURNS integer
    LANGUAGE sql STABLE
    SET search_path TO 'memory', 'pg_temp'
    RETURN GREATEST(2, COALESCE((SELECT ((tenants.policy ->> 'k'::text))::integer AS int4 FROM memory.tenants WHERE (tenants.tenant_id = memory.bound_tenant())), 5));
CREATE FUNCTION memory.collective_key(kind text, attribute text, value text, context text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN SUBSTRING(sha256(convert_to((jsonb_build_array(kind, attribute, value, context))::text, 'UTF8'::name)) FROM 1 FOR 16);
CREATE FUNCTION memory.collective_step(belief_key bytea, supporters bigint, published integer) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path TO 'memory', 'pg_temp'
    RETURN (SELECT max(step.step) AS max FROM unnest((memory.collective_k() || ARRAY[10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000])) step(step) WHERE ((step.step >= memory.collective_k()) AND ((step.step + CASE WHEN (step.step <= collective_step.published) THEN 0 ELSE memory.collective_jitter(collective_step.belief_key, ('step '::text || step.step)) END) <= collective_step.supporters)));
CREATE FUNCTION memory.collective_value(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lower(btrim(value));
CREATE TABLE memory.interactions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    ordinal integer NOT NULL,
    "position" bigint NOT NULL,
    interaction_id text NOT NULL,
    agent_id text,
    private boolean NOT NULL,
    kind text NOT NULL,
    role text NOT NULL,
    actor text,
    content text NOT NULL,
    payload jsonb NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    source text NOT NULL,
    content_hash bytea NOT NULL,
    traceparent text,
    tracestate text,
    retracted_at timestamp with time zone,
    CONSTRAINT interactions_interaction_id_check CHECK ((interaction_id <> ''::text)),
    CONSTRAINT interactions_kind_check CHECK ((kind = ANY (ARRAY['message'::text, 'tool_call'::text, 'tool_result'::text, 'retrieval'::text, 'feedback'::text, 'model_call'::text]))),
    CONSTRAINT interactions_ordinal_check CHECK ((ordinal > 0)),
    CONSTRAINT interactions_position_check CHECK (("position" > 0)),
    CONSTRAINT interactions_role_check CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text, 'system'::text, 'tool'::text])))
);
ALTER TABLE ONLY memory.interactions ALTER COLUMN actor SET STATISTICS 0;
ALTER TABLE ONLY memory.interactions ALTER COLUMN content SET STATISTICS 0;
ALTER TABLE ONLY memory.interactions FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.retractions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    interaction_id text NOT NULL,
    retracted_at timestamp with time zone NOT NULL,
    retracted_by text NOT NULL,
    reason text NOT NULL,
    restored_at timestamp with time zone,
    restored_by text,
    restored_reason text,
    CONSTRAINT retractions_check CHECK (((restored_at IS NULL) OR (restored_at >= retracted_at)))
);
ALTER TABLE ONLY memory.retractions ALTER COLUMN reason SET STATISTICS 0;
ALTER TABLE ONLY memory.retractions ALTER COLUMN restored_reason SET STATISTICS 0;
ALTER TABLE ONLY memory.retractions FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.counted_then(i memory.interactions, as_of timestamp with time zone, believed_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'memory', 'pg_temp'
    RETURN (((i).recorded_at <= COALESCE(believed_at, now())) AND ((as_of IS NULL) OR ((i).occurred_at <= as_of)) AND (NOT (EXISTS (SELECT FROM memory.retractions r WHERE ((r.tenant_id = (counted_then.i).tenant_id) AND (r.user_id = (counted_then.i).user_id) AND (r.interaction_id = (counted_then.i).interaction_id) AND (r.retracted_at <= COALESCE(counted_then.believed_at, now())) AND ((r.restored_at IS NULL) OR (r.restored_at > COALESCE(counted_then.believed_at, now()))))))));
CREATE TABLE memory.dead_letters (
    letter_id bigint NOT NULL,
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    topic text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    value bytea,
    headers jsonb DEFAULT '[]'::jsonb NOT NULL,
    tenant_id text,
    user_id text,
    session_id text,
    interaction_id text,
    record_time timestamp with time zone,
    set_aside_at timestamp with time zone DEFAULT now() NOT NULL,
    sent_at timestamp with time zone,
    redriven_at timestamp with time zone,
    CONSTRAINT dead_letters_reason_check CHECK ((reason = ANY (ARRAY['oversize'::text, 'not_json'::text, 'unknown_version'::text, 'invalid'::text, 'wrong_key'::text, 'future'::text, 'conflict'::text, 'no_value'::text, 'refused'::text])))
);
ALTER TABLE ONLY memory.dead_letters FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.forget_dead_letters(session text, ids text[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'memory', 'pg_temp'
    BEGIN ATOMIC
 WITH gone AS (
          DELETE FROM memory.dead_letters d
           WHERE ((d.tenant_id = memory.bound_tenant()) AND (d.user_id = memory.bound_user()) AND (((forget_dead_letters.session IS NULL) AND (forget_dead_letters.ids IS NULL)) OR (d.session_id = forget_dead_letters.session) OR (d.interaction_id = ANY (forget_dead_letters.ids))))
           RETURNING 1 AS "?column?"
         )
  SELECT count(*) AS count
    FROM gone;
END;
ALTER FUNCTION memory.forget_dead_letters(session text, ids text[]) OWNER TO memory_worker;
CREATE FUNCTION memory.held_then(m memory.memories, as_of timestamp with time zone, believed_at timestamp with time zone) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN (((m).believed_from <= COALESCE(believed_at, now())) AND (((m).believed_to IS NULL) OR ((m).believed_to > COALESCE(believed_at, now()))) AND ((as_of IS NULL) OR (((m).valid_from <= as_of) AND (((m).valid_to IS NULL) OR ((m).valid_to > as_of)))));
CREATE FUNCTION memory.inverted(held tsvector[]) RETURNS tsvector
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
CREATE TABLE memory.change_places (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    published_seq bigint DEFAULT 0 NOT NULL,
    waiting_since timestamp with time zone
);
ALTER TABLE ONLY memory.change_places FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.keep_changes(kept memory.changes[]) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 WITH made AS (
          SELECT k.tenant_id,
             k.user_id,
             k.change,
             k.memory_id,
             k.generation,
             k.successor,
             k.memory,
             k.at,
             row_number() OVER w AS nth,
             count(*) OVER (PARTITION BY k.tenant_id, k.user_id) AS number
            FROM unnest(keep_changes.kept) WITH ORDINALITY k(tenant_id, user_id, seq, change, memory_id, generation, successor, memory, at, made_in, ordinality)
           WINDOW w AS (PARTITION BY k.tenant_id, k.user_id ORDER BY k.ordinality)
         ), places AS (
          INSERT INTO memory.change_places AS p (tenant_id, user_id, last_seq, waiting_since)  SELECT made.tenant_id,
                     made.user_id,
                     count(*) AS count,
                     now() AS now
                    FROM made
                   GROUP BY made.tenant_id, made.user_id
                   ORDER BY made.tenant_id, made.user_id ON CONFLICT(tenant_id, user_id) DO UPDATE SET last_seq = (p.last_seq + excluded.last_seq), waiting_since = COALESCE(p.waiting_since, excluded.waiting_since)
           RETURNING p.tenant_id,
             p.user_id,
             p.last_seq
         )
  INSERT INTO memory.changes (tenant_id, user_id, seq, change, memory_id, generation, successor, memory, at)  SELECT m.tenant_id,
             m.user_id,
             ((p.last_seq - m.number) + m.nth),
             m.change,
             m.memory_id,
             m.generation,
             m.successor,
             m.memory,
             m.at
            FROM (made m
              JOIN places p USING (tenant_id, user_id));
END;
CREATE FUNCTION memory.keep_delete() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
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
CREATE FUNCTION memory.keep_insert() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
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
CREATE FUNCTION memory.keep_update() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
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
CREATE TABLE memory.users (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    "position" bigint DEFAULT 0 NOT NULL,
    change_seq bigint DEFAULT 0 NOT NULL,
    forget_seq bigint DEFAULT 0 NOT NULL,
    recorded_at timestamp with time zone,
    due_at timestamp with time zone,
    extracted bigint DEFAULT 0 NOT NULL,
    lease_token uuid,
    leased_until timestamp with time zone,
    backfill boolean DEFAULT false NOT NULL,
    lost_leases integer DEFAULT 0 NOT NULL,
    CONSTRAINT users_tenant_id_check CHECK ((tenant_id <> ''::text)),
    CONSTRAINT users_user_id_check CHECK ((user_id <> ''::text))
)
WITH (fillfactor='70');
ALTER TABLE ONLY memory.users FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.leasable_at(u memory.users, quiet double precision, full_at integer) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    RETURN GREATEST((u).due_at, (u).leased_until, CASE WHEN (((u)."position" - (u).extracted) < full_at) THEN LEAST(((u).recorded_at + make_interval(secs => quiet)), ((u).due_at + make_interval(secs => ((5)::double precision * quiet)))) ELSE NULL::timestamp with time zone END);
CREATE FUNCTION memory.member(m memory.memories) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN ((((int8send((m).memory_id) || int8send((((COALESCE(hashtext((m).session_id), 0))::bigint << 32) + COALESCE((m).ordinal, 0)))) || int4send(COALESCE((m).ordinal_to, 0))) || int4send(length((m).lexemes))) || boolsend((NOT ((m).attribute IS DISTINCT FROM 'instruction'::text))));
CREATE TABLE memory.embedders (
    embedder_id smallint NOT NULL,
    name text NOT NULL,
    dimensions integer NOT NULL,
    state text DEFAULT 'live'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT embedders_dimensions_check CHECK ((dimensions > 0)),
    CONSTRAINT embedders_name_check CHECK ((name <> ''::text)),
    CONSTRAINT embedders_state_check CHECK ((state = ANY (ARRAY['building'::text, 'live'::text, 'retired'::text])))
);
CREATE FUNCTION memory.register_embedder(name text, dimensions integer) RETURNS smallint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'memory', 'pg_temp'
    BEGIN ATOMIC
 INSERT INTO memory.embedders (name, dimensions)  SELECT register_embedder.name AS name,
             register_embedder.dimensions AS dimensions
           WHERE (NOT (EXISTS ( SELECT
                    FROM memory.embedders e
                   WHERE (e.state = 'live'::text)))) ON CONFLICT DO NOTHING;
 SELECT e.embedder_id
    FROM memory.embedders e
   WHERE ((e.name = register_embedder.name) AND (e.dimensions = register_embedder.dimensions) AND (e.state = 'live'::text));
END;
CREATE FUNCTION memory.seal_block(tenant text, owner text, derived smallint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
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
CREATE FUNCTION memory.seal_collective_block(tenant text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
    SET enable_seqscan TO 'off'
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
CREATE FUNCTION memory.user_hundredth(tenant_id text, user_id text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((((('x'::text || encode(SUBSTRING(sha256(convert_to((((length(tenant_id) || ':'::text) || tenant_id) || user_id), 'UTF8'::name)) FROM 1 FOR 4), 'hex'::text)))::bit(32))::bigint % (100)::bigint))::integer;
CREATE TABLE memory.generations (
    generation smallint NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    extractors jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    percent smallint DEFAULT 0 NOT NULL,
    followed boolean DEFAULT false NOT NULL,
    CONSTRAINT generations_name_check CHECK ((name <> ''::text)),
    CONSTRAINT generations_percent_check CHECK (((percent >= 0) AND (percent <= 100))),
    CONSTRAINT generations_state_check CHECK ((state = ANY (ARRAY['shadow'::text, 'live'::text, 'retired'::text]))),
    CONSTRAINT serves_only_what_is_kept_up CHECK (
CASE state
    WHEN 'live'::text THEN ((percent = 100) AND followed)
    WHEN 'shadow'::text THEN ((percent = 0) OR followed)
    ELSE ((percent = 0) AND (NOT followed))
END)
);
CREATE FUNCTION memory.serving(tenant_id text, user_id text) RETURNS TABLE(generation smallint)
    LANGUAGE sql STABLE ROWS 1 PARALLEL SAFE
    BEGIN ATOMIC
 SELECT g.generation
    FROM memory.generations g
   WHERE ((g.percent > 0) AND (g.percent > memory.user_hundredth(serving.tenant_id, serving.user_id)))
   ORDER BY g.state DESC
  LIMIT 1;
END;
CREATE FUNCTION memory.unseal_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared('recall_blocks'::regclass::oid::int,
        block_lock(NEW.tenant_id, NEW.user_id));
    DELETE FROM recall_blocks
    WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id AND generation = NEW.generation
        AND block = NEW.memory_id / 256;
    RETURN NULL;
END $$;
CREATE FUNCTION memory.unseal_collective_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    PERFORM FROM tenants WHERE tenant_id = NEW.tenant_id FOR SHARE;
    DELETE FROM collective_blocks WHERE tenant_id = NEW.tenant_id AND block = NEW.memory_id / 256;
    RETURN NULL;
END $$;
CREATE FUNCTION memory.unseal_collective_moved() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    PERFORM FROM tenants WHERE tenant_id IN (SELECT tenant_id FROM moved) FOR SHARE;
    DELETE FROM collective_blocks b
    USING (SELECT DISTINCT tenant_id, memory_id / 256 AS block FROM moved) m
    WHERE b.tenant_id = m.tenant_id AND b.block = m.block;
    RETURN NULL;
END $$;
CREATE FUNCTION memory.unseal_moved() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'memory', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
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
CREATE FUNCTION memory.wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtextextended(TG_ARGV[0], 0)) THEN
        PERFORM pg_notify(TG_ARGV[0], '');
    END IF;
    RETURN NULL;
END $$;
CREATE TABLE memory.collective_memories (
    tenant_id text NOT NULL,
    memory_id bigint NOT NULL,
    generation smallint NOT NULL,
    belief_key bytea NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    attribute text NOT NULL,
    value text NOT NULL,
    context text,
    confidence real NOT NULL,
    support integer NOT NULL,
    tokens integer NOT NULL,
    lexemes tsvector NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    believed_from timestamp with time zone NOT NULL,
    believed_to timestamp with time zone,
    extractor text NOT NULL,
    extractor_version text NOT NULL,
    people text DEFAULT 'users'::text NOT NULL,
    evidence_kinds text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT collective_memories_confidence_check CHECK (((confidence >= (0)::double precision) AND (confidence <= (1)::double precision))),
    CONSTRAINT collective_memories_kind_check CHECK ((kind = ANY (ARRAY['fact'::text, 'preference'::text, 'procedure'::text])))
);
ALTER TABLE ONLY memory.collective_memories FORCE ROW LEVEL SECURITY;
CREATE FUNCTION memory.withdraw_collective(memories bigint[]) RETURNS bigint
    LANGUAGE sql
    SET search_path TO 'memory', 'pg_temp'
    BEGIN ATOMIC
 INSERT INTO memory.collective_withdrawals AS w (tenant_id, belief_digest)  SELECT c.tenant_id,
             memory.collective_digest(c.belief_key) AS collective_digest
            FROM memory.collective_memories c
           WHERE ((c.tenant_id = memory.bound_tenant()) AND (c.memory_id = ANY (withdraw_collective.memories))) ON CONFLICT(tenant_id, belief_digest) DO UPDATE SET times = LEAST((w.times + 1), 12), withdrawn_at = now();
 WITH gone AS (
          DELETE FROM memory.collective_memories c
           WHERE ((c.tenant_id = memory.bound_tenant()) AND (c.memory_id = ANY (withdraw_collective.memories)))
           RETURNING c.memory_id
         )
  SELECT count(*) AS count
    FROM gone;
END;
CREATE FUNCTION memory.withdraw_support() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'memory', 'pg_temp'
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
ALTER FUNCTION memory.withdraw_support() OWNER TO memory_worker;
CREATE TABLE memory.assertions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    belief_key bytea NOT NULL,
    assertion_id bytea NOT NULL,
    "position" bigint NOT NULL,
    candidate jsonb NOT NULL,
    provenance jsonb NOT NULL,
    extractor text NOT NULL,
    interaction_ids text[] NOT NULL,
    recorded_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY memory.assertions FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.collective_blocks (
    tenant_id text NOT NULL,
    block bigint NOT NULL,
    members integer NOT NULL,
    total bigint NOT NULL,
    words integer[] NOT NULL,
    postings tsvector
);
ALTER TABLE ONLY memory.collective_blocks ALTER COLUMN words SET STATISTICS 0;
ALTER TABLE ONLY memory.collective_blocks ALTER COLUMN words SET STORAGE MAIN;
ALTER TABLE ONLY memory.collective_blocks ALTER COLUMN postings SET STATISTICS 0;
ALTER TABLE ONLY memory.collective_blocks ALTER COLUMN postings SET STORAGE EXTERNAL;
ALTER TABLE ONLY memory.collective_blocks FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.collective_embeddings (
    tenant_id text NOT NULL,
    embedder_id smallint NOT NULL,
    memory_id bigint NOT NULL,
    vector public.halfvec NOT NULL
);
ALTER TABLE ONLY memory.collective_embeddings FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.collective_support (
    tenant_id text NOT NULL,
    memory_id bigint NOT NULL,
    user_id text NOT NULL,
    user_memory_id bigint NOT NULL
);
ALTER TABLE ONLY memory.collective_support FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.dead_letters ALTER COLUMN letter_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME memory.dead_letters_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE memory.derivations (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    "position" bigint NOT NULL,
    forget_seq bigint NOT NULL,
    derived_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY memory.derivations FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.embedders ALTER COLUMN embedder_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME memory.embedders_embedder_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE memory.embeddings (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    embedder_id smallint NOT NULL,
    memory_id bigint NOT NULL,
    vector public.halfvec NOT NULL,
    generation smallint NOT NULL
);
ALTER TABLE ONLY memory.embeddings FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.evidence (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    memory_id bigint NOT NULL,
    interaction_id text NOT NULL,
    start_at integer NOT NULL,
    end_at integer NOT NULL,
    quote text NOT NULL,
    stance text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    CONSTRAINT evidence_check CHECK (((start_at >= 0) AND (end_at >= start_at))),
    CONSTRAINT evidence_stance_check CHECK ((stance = ANY (ARRAY['supports'::text, 'contradicts'::text])))
);
ALTER TABLE ONLY memory.evidence ALTER COLUMN quote SET STATISTICS 0;
ALTER TABLE ONLY memory.evidence FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.forgotten_beliefs (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    belief_key bytea NOT NULL,
    value_digest bytea NOT NULL,
    forgotten_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY memory.forgotten_beliefs FORCE ROW LEVEL SECURITY;
ALTER TABLE memory.generations ALTER COLUMN generation ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME memory.generations_generation_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE memory.job_progress (
    tenant_id text NOT NULL,
    job text NOT NULL,
    cursor text DEFAULT ''::text NOT NULL,
    token uuid,
    leased_until timestamp with time zone,
    finished_at timestamp with time zone
);
ALTER TABLE ONLY memory.job_progress FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.model_answers (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    answer_key bytea NOT NULL,
    answer text NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY memory.model_answers ALTER COLUMN answer SET STATISTICS 0;
ALTER TABLE ONLY memory.model_answers FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.model_calls (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    call_id uuid DEFAULT gen_random_uuid() NOT NULL,
    session_id text,
    called_at timestamp with time zone DEFAULT now() NOT NULL,
    generation smallint NOT NULL,
    task text NOT NULL,
    prompt text NOT NULL,
    prompt_version text NOT NULL,
    prompt_hash text NOT NULL,
    model text NOT NULL,
    outcome text NOT NULL,
    cached boolean NOT NULL,
    requests integer NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cost double precision NOT NULL,
    seconds double precision NOT NULL,
    kept integer,
    refused jsonb,
    answer text,
    CONSTRAINT model_calls_task_check CHECK ((task = ANY (ARRAY['extract'::text, 'consolidate'::text, 'summarise'::text])))
);
ALTER TABLE ONLY memory.model_calls ALTER COLUMN answer SET STATISTICS 0;
ALTER TABLE ONLY memory.model_calls FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.model_spend (
    tenant_id text NOT NULL,
    day date NOT NULL,
    generation smallint NOT NULL,
    task text NOT NULL,
    prompt text NOT NULL,
    prompt_version text NOT NULL,
    prompt_hash text NOT NULL,
    model text NOT NULL,
    calls integer NOT NULL,
    cached integer NOT NULL,
    failed integer NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost double precision NOT NULL,
    seconds double precision NOT NULL
);
ALTER TABLE ONLY memory.model_spend FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.positions (
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    topic text NOT NULL,
    next_offset bigint,
    epoch bigint DEFAULT 1 NOT NULL,
    owner text NOT NULL,
    record_time timestamp with time zone,
    appended bigint DEFAULT 0 NOT NULL,
    duplicates bigint DEFAULT 0 NOT NULL,
    forgotten bigint DEFAULT 0 NOT NULL,
    set_aside bigint DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT positions_cluster_id_check CHECK ((cluster_id <> ''::text)),
    CONSTRAINT positions_next_offset_check CHECK ((next_offset >= 0)),
    CONSTRAINT positions_partition_check CHECK ((partition >= 0)),
    CONSTRAINT positions_topic_id_check CHECK ((topic_id <> ''::text))
)
WITH (fillfactor='50');
CREATE TABLE memory.progress (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    session_id text NOT NULL,
    ordinal integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    error text,
    set_aside_at timestamp with time zone,
    retry_at timestamp with time zone,
    reread_through integer DEFAULT 0 NOT NULL,
    reread_at timestamp with time zone,
    unheard integer DEFAULT 0 NOT NULL
);
ALTER TABLE ONLY memory.progress FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.prompts (
    name text NOT NULL,
    version text NOT NULL,
    hash text NOT NULL,
    text text NOT NULL,
    response jsonb NOT NULL,
    first_used timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT prompts_name_check CHECK ((name <> ''::text)),
    CONSTRAINT prompts_version_check CHECK ((version <> ''::text))
);
CREATE TABLE memory.recall_blocks (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    block bigint NOT NULL,
    members bytea,
    postings tsvector
);
ALTER TABLE ONLY memory.recall_blocks ALTER COLUMN members SET STATISTICS 0;
ALTER TABLE ONLY memory.recall_blocks ALTER COLUMN members SET STORAGE EXTERNAL;
ALTER TABLE ONLY memory.recall_blocks ALTER COLUMN postings SET STATISTICS 0;
ALTER TABLE ONLY memory.recall_blocks ALTER COLUMN postings SET STORAGE EXTERNAL;
ALTER TABLE ONLY memory.recall_blocks FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.recall_uses (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    memory_id bigint NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    uses integer DEFAULT 1 NOT NULL
)
WITH (fillfactor='70');
ALTER TABLE ONLY memory.recall_uses FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE memory.sessions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    agent_id text,
    length integer DEFAULT 0 NOT NULL,
    started_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    closed_at timestamp with time zone,
    summary text DEFAULT ''::text NOT NULL,
    summary_through integer DEFAULT 0 NOT NULL,
    summary_sources text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT sessions_session_id_check CHECK ((session_id <> ''::text))
)
WITH (fillfactor='70');
ALTER TABLE ONLY memory.sessions ALTER COLUMN summary SET STATISTICS 0;
ALTER TABLE ONLY memory.sessions FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.task_state (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT task_state_key_check CHECK ((key <> ''::text))
);
ALTER TABLE ONLY memory.task_state FORCE ROW LEVEL SECURITY;
CREATE TABLE memory.tombstones (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    id_digest bytea NOT NULL,
    session_id text,
    ordinal integer,
    forgotten_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY memory.tombstones FORCE ROW LEVEL SECURITY;
INSERT INTO memory.assertions (tenant_id, user_id, generation, belief_key, assertion_id, "position", candidate, provenance, extractor, interaction_ids, recorded_at) VALUES
	('northwind-talent', 'ana', 1, '\x977b1fb6fe6a973e3f8c1ee03e6af381', '\xac8e808b5db432d931f9986c8c80f97c', 1, '{"said": {"kind": "fact", "text": "Name is Ana Ferreira", "value": "ana ferreira", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 52, "quote": "my name is Ana Ferreira", "start": 29, "stance": "supports", "occurred_at": "2026-03-02T08:12:34Z", "interaction_id": "ana-0302-01"}], "valid_to": null, "attribute": "name", "confidence": 0.85, "importance": 0.85, "valid_from": null, "occurred_at": "2026-03-02T08:12:34Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 1, "session": "ana-0302", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ana-0302-01}', '2026-12-01 01:04:54.646735+00'),
	('northwind-talent', 'ana', 1, '\x8987daf21b830cd294d4182037aaf899', '\x53394e82e6d864d08a8bcc1ec7a38970', 1, '{"said": {"kind": "fact", "text": "Is a senior recruiter here at Northwind", "value": "senior recruiter", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 97, "quote": "I''m a senior recruiter here at Northwind", "start": 57, "stance": "supports", "occurred_at": "2026-03-02T08:12:34Z", "interaction_id": "ana-0302-01"}], "valid_to": null, "attribute": "job_title", "confidence": 0.85, "importance": 0.9, "valid_from": null, "occurred_at": "2026-03-02T08:12:34Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 1, "session": "ana-0302", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ana-0302-01}', '2026-12-01 01:04:54.646735+00'),
	('northwind-talent', 'ana', 1, '\xcb69b6303e4f05c6c760f0e9d1014a8f', '\xbf59741b9078aad37eeedebb363b8d9b', 1, '{"said": {"kind": "fact", "text": "Works at Northwind", "value": "northwind", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 97, "quote": "I''m a senior recruiter here at Northwind", "start": 57, "stance": "supports", "occurred_at": "2026-03-02T08:12:34Z", "interaction_id": "ana-0302-01"}], "valid_to": null, "attribute": "works_at", "confidence": 0.9, "importance": 0.9, "valid_from": null, "occurred_at": "2026-03-02T08:12:34Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 1, "session": "ana-0302", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ana-0302-01}', '2026-12-01 01:04:54.646735+00'),
	('northwind-talent', 'ana', 1, '\xc025ef84602805c529290f4297ffda3c', '\xba69dfea2a4906e86403d00de45204c9', 7, '{"said": {"kind": "preference", "text": "Favourite colour is green", "value": "green", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 28, "quote": "My favourite colour is green", "start": 0, "stance": "supports", "occurred_at": "2026-03-16T09:00:00Z", "interaction_id": "ana-0316-02"}], "valid_to": null, "attribute": "favourite.colour", "confidence": 0.85, "importance": 0.8, "valid_from": null, "occurred_at": "2026-03-16T09:00:00Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 2, "session": "ana-0316", "verdict": null, "ordinal_to": 2}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ana-0316-02}', '2026-12-01 01:04:54.660375+00'),
	('northwind-talent', 'ben', 1, '\xcb69b6303e4f05c6c760f0e9d1014a8f', '\x71ea0c0e03042d42c4c813df706fcaf9', 1, '{"said": {"kind": "fact", "text": "Works at Siemens", "value": "siemens", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 17, "quote": "I work at Siemens", "start": 0, "stance": "supports", "occurred_at": "2026-03-03T09:00:00Z", "interaction_id": "ben-1-01"}], "valid_to": null, "attribute": "works_at", "confidence": 0.9, "importance": 0.9, "valid_from": null, "occurred_at": "2026-03-03T09:00:00Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 1, "session": "ben-1", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ben-1-01}', '2026-12-01 01:04:54.663342+00'),
	('northwind-talent', 'ben', 1, '\xe634594923729f7bab85c35be0dbe0c9', '\x8c7df6ac13678b834cda705e43f411e9', 2, '{"said": {"kind": "fact", "text": "Is a vegetarian", "value": "yes", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 17, "quote": "I am a vegetarian", "start": 0, "stance": "supports", "occurred_at": "2026-03-03T09:00:00Z", "interaction_id": "ben-1-02"}], "valid_to": null, "attribute": "is.vegetarian", "confidence": 0.9, "importance": 0.85, "valid_from": null, "occurred_at": "2026-03-03T09:00:00Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 2, "session": "ben-1", "verdict": null, "ordinal_to": 2}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ben-1-02}', '2026-12-01 01:04:54.663742+00'),
	('northwind-talent', 'ana', 1, '\xa259f926d8f764ddceb5dd1ef63b1976', '\x93cd8bf55f1205f811ef4953cce2c302', 10, '{"said": {"kind": "fact", "text": "ana likes them short", "value": "short", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 20, "quote": "ana likes them short", "start": 0, "stance": "supports", "occurred_at": "2026-03-20T09:00:00Z", "interaction_id": "2e22ff75b9f84737937114926814675f"}], "valid_to": null, "attribute": "prefers.outreach", "confidence": 1.0, "importance": 0.8, "valid_from": null, "occurred_at": "2026-03-20T09:00:00Z", "search_text": "", "single_valued": false}, "agent": null, "ordinal": 1, "session": "remembered", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "explicit", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'explicit', '{2e22ff75b9f84737937114926814675f}', '2026-12-01 01:04:55.187212+00'),
	('northwind-talent', 'ben', 1, '\xa259f926d8f764ddceb5dd1ef63b1976', '\xdce7a4989cfb2b06b209ed5c5fa5caee', 3, '{"said": {"kind": "fact", "text": "ben likes them short", "value": "short", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 20, "quote": "ben likes them short", "start": 0, "stance": "supports", "occurred_at": "2026-03-20T09:00:00Z", "interaction_id": "4a0d237a7d4b4a19afb4eeebb9f77bb8"}], "valid_to": null, "attribute": "prefers.outreach", "confidence": 1.0, "importance": 0.8, "valid_from": null, "occurred_at": "2026-03-20T09:00:00Z", "search_text": "", "single_valued": false}, "agent": null, "ordinal": 1, "session": "remembered", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "explicit", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'explicit', '{4a0d237a7d4b4a19afb4eeebb9f77bb8}', '2026-12-01 01:04:55.218327+00'),
	('northwind-talent', 'cleo', 1, '\xa259f926d8f764ddceb5dd1ef63b1976', '\x885efd1a761bdc101b0b85ed29fd3b93', 1, '{"said": {"kind": "fact", "text": "cleo likes them short", "value": "short", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 21, "quote": "cleo likes them short", "start": 0, "stance": "supports", "occurred_at": "2026-03-20T09:00:00Z", "interaction_id": "61d7ff91c39648739e87dd6fdd2a468b"}], "valid_to": null, "attribute": "prefers.outreach", "confidence": 1.0, "importance": 0.8, "valid_from": null, "occurred_at": "2026-03-20T09:00:00Z", "search_text": "", "single_valued": false}, "agent": null, "ordinal": 1, "session": "remembered", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "explicit", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'explicit', '{61d7ff91c39648739e87dd6fdd2a468b}', '2026-12-01 01:04:55.234341+00'),
	('northwind-talent', 'ana', 1, '\xa66d7b96fe0417d6e24f0f1386f03232', '\xf7252fe2245b84c7154bfb2b48c5c810', 5, '{"said": {"kind": "fact", "text": "Lives in Berlin", "value": "berlin", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 46, "quote": "I live in Berlin", "start": 30, "stance": "supports", "occurred_at": "2026-03-02T08:14:48Z", "interaction_id": "ana-0302-05"}], "valid_to": null, "attribute": "lives_in", "confidence": 0.9, "importance": 0.9, "valid_from": null, "occurred_at": "2026-03-02T08:14:48Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 5, "session": "ana-0302", "verdict": null, "ordinal_to": 5}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ana-0302-05}', '2026-12-01 01:04:54.659627+00'),
	('northwind-talent', 'ana', 1, '\xa66d7b96fe0417d6e24f0f1386f03232', '\x5cf16c555430b8f3bdc1f769f597fc86', 6, '{"said": {"kind": "fact", "text": "Lives in Munich now", "value": "munich", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 20, "quote": "I live in Munich now", "start": 0, "stance": "supports", "occurred_at": "2026-03-16T09:00:00Z", "interaction_id": "ana-0316-01"}], "valid_to": null, "attribute": "lives_in", "confidence": 0.9, "importance": 0.9, "valid_from": null, "occurred_at": "2026-03-16T09:00:00Z", "search_text": "", "single_valued": true}, "agent": null, "ordinal": 1, "session": "ana-0316", "verdict": null, "ordinal_to": 1}', '{"model": null, "prompt": null, "extractor": "statements", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'statements', '{ana-0316-01}', '2026-12-01 01:04:54.660018+00'),
	('northwind-talent', 'cleo', 1, '\x8696febd22e358f5e091b20b90f08073', '\xe92bedcc3ae6d5976098a4929b6acff1', 2, '{"said": {"kind": "fact", "text": "Works from Porto", "value": "porto", "stance": "supports", "context": null, "made_by": null, "payload": {}, "subject": null, "evidence": [{"end": 16, "quote": "Works from Porto", "start": 0, "stance": "supports", "occurred_at": "2026-03-20T09:00:00Z", "interaction_id": "56d8155dc8f84ee1a0c5de1797ae6b76"}], "valid_to": null, "attribute": "works_from", "confidence": 1.0, "importance": 0.8, "valid_from": null, "occurred_at": "2026-03-20T09:00:00Z", "search_text": "", "single_valued": false}, "agent": null, "ordinal": 2, "session": "remembered", "verdict": null, "ordinal_to": 2}', '{"model": null, "prompt": null, "extractor": "explicit", "prompt_hash": null, "prompt_version": null, "extractor_version": "1"}', 'explicit', '{56d8155dc8f84ee1a0c5de1797ae6b76}', '2026-12-01 01:04:55.547562+00');
INSERT INTO memory.change_places (tenant_id, user_id, last_seq, published_seq, waiting_since) VALUES
	('northwind-talent', 'cleo', 1, 0, '2026-12-01 01:04:55.562332+00');
INSERT INTO memory.change_stream (the_one, enabled_at, token, leased_until) VALUES
	(true, '2026-12-01 01:04:55.302671+00', NULL, NULL);
INSERT INTO memory.changes (tenant_id, user_id, seq, change, memory_id, generation, successor, memory, at, made_in) VALUES
	('northwind-talent', 'cleo', 1, 'added', 3, 1, NULL, '{"kind": "fact", "text": "Works from Porto", "agent": null, "model": null, "value": "porto", "context": null, "session": "remembered", "subject": null, "support": 1, "valid_to": null, "attribute": "works_from", "contested": [], "extractor": "explicit", "confidence": 1, "importance": 0.8, "supersedes": null, "valid_from": "2026-03-20T09:00:00+00:00", "occurred_at": "2026-03-20T09:00:00+00:00", "believed_from": "2026-12-01T01:04:55.547562+00:00", "single_valued": false, "extractor_version": "1"}', '2026-12-01 01:04:55.562332+00', '817');
INSERT INTO memory.collective_embeddings (tenant_id, embedder_id, memory_id, vector) VALUES
	('northwind-talent', 1, 1, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0.5,0,0,0,0,0,0]');
INSERT INTO memory.collective_memories (tenant_id, memory_id, generation, belief_key, kind, text, attribute, value, context, confidence, support, tokens, lexemes, valid_from, valid_to, believed_from, believed_to, extractor, extractor_version, people, evidence_kinds) VALUES
	('northwind-talent', 1, 1, '\x8ffc1ab614537d24c972b349cba79a71', 'fact', 'Often preferred: outreach short', 'prefers.outreach', 'short', NULL, 0.75, 2, 13, '''often'':1 ''outreach'':3 ''prefer'':2 ''prefers.outreach'':5 ''short'':4', '2026-12-01 00:00:00+00', NULL, '2026-12-01 00:00:00+00', NULL, 'promotion', '1', 'users', '{message}');
INSERT INTO memory.collective_support (tenant_id, memory_id, user_id, user_memory_id) VALUES
	('northwind-talent', 1, 'ana', 18),
	('northwind-talent', 1, 'ben', 5),
	('northwind-talent', 1, 'cleo', 1);
INSERT INTO memory.dead_letters (letter_id, cluster_id, topic_id, partition, record_offset, topic, reason, detail, key, value, headers, tenant_id, user_id, session_id, interaction_id, record_time, set_aside_at, sent_at, redriven_at) OVERRIDING SYSTEM VALUE VALUES
	(1, 'c-1', 't-1', 0, 0, 'interactions', 'not_json', 'Expecting value', '\x6b', '\x7b006f6f7073', '[]', 'northwind-talent', 'ben', NULL, NULL, '2026-03-03 09:00:00+00', '2026-12-01 01:04:55.806716+00', NULL, NULL);
INSERT INTO memory.embedders (embedder_id, name, dimensions, state, created_at) OVERRIDING SYSTEM VALUE VALUES
	(1, 'words-64', 64, 'live', '2026-12-01 01:04:54.632767+00');
INSERT INTO memory.embeddings (tenant_id, user_id, embedder_id, memory_id, vector, generation) VALUES
	('northwind-talent', 'ana', 1, 1, '[0,0,0.35351562,0.17675781,0.53027344,0,0,0,0,0,0.17675781,0,0,0,0,0,0,0,0.17675781,0,0,0,0,0,0,0,0,0,0.17675781,0,0.17675781,0,0,0.35351562,0.35351562,0.17675781,0.17675781,0,0,0,0,0,0,0,0,0,0.17675781,0,0,0.17675781,0,0,0,0,0,0,0,0,0.17675781,0,0.17675781,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 2, '[0,0,0,0,0.20410156,0,0,0,0,0,0.20410156,0.20410156,0,0,0,0.20410156,0.20410156,0.20410156,0.40820312,0,0,0.20410156,0,0,0,0,0,0,0.20410156,0,0.20410156,0,0,0.20410156,0.20410156,0,0,0.20410156,0,0,0.20410156,0,0,0.20410156,0.20410156,0.20410156,0,0,0,0,0,0,0,0,0.20410156,0,0,0.20410156,0.20410156,0,0,0.20410156,0,0]', 1),
	('northwind-talent', 'ana', 1, 3, '[0,0,0,0.15808105,0,0,0,0,0,0,0,0,0,0,0.15808105,0,0,0,0.15808105,0,0,0,0,0,0.6323242,0,0,0.15808105,0.15808105,0,0.3161621,0.15808105,0,0.15808105,0,0,0.15808105,0,0,0,0.15808105,0.15808105,0,0,0,0,0,0,0,0,0,0,0,0.15808105,0.3161621,0,0,0,0,0.3161621,0,0,0,0.15808105]', 1),
	('northwind-talent', 'ana', 1, 4, '[0,0,0.5,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 5, '[0,0,0,0,0.3779297,0,0,0,0,0,0.3779297,0,0,0,0,0,0,0,0.3779297,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.3779297,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.3779297,0,0,0,0,0,0,0,0,0.3779297,0,0.3779297,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 6, '[0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 8, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.44726562,0,0,0,0,0,0.44726562,0,0,0,0,0,0.44726562,0,0,0,0,0.44726562,0,0,0,0.44726562,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 9, '[0,0,0,0.3779297,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.3779297,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.3779297,0,0,0.7558594,0,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 13, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.40820312,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.40820312,0,0,0.81640625,0,0,0,0,0]', 1),
	('northwind-talent', 'ben', 1, 1, '[0.24255371,0,0,0,0.24255371,0,0,0,0,0,0.24255371,0,0,0,0,0,0,0.24255371,0,0,0,0,0,0,0,0,0,0,0,0,0.48510742,0,0,0,0,0,0,0,0.24255371,0,0.24255371,0,0.24255371,0,0,0,0,0,0.24255371,0.48510742,0,0,0,0,0,0,0,0,0,0.24255371,0,0,0,0]', 1),
	('northwind-talent', 'ben', 1, 2, '[0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0.5,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]', 1),
	('northwind-talent', 'ben', 1, 3, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0]', 1),
	('northwind-talent', 'ben', 1, 4, '[0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 18, '[0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0]', 1),
	('northwind-talent', 'ben', 1, 5, '[0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0]', 1),
	('northwind-talent', 'cleo', 1, 1, '[0,0,0,0,0,0,0,0,0,0.5,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 21, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 23, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0]', 1),
	('northwind-talent', 'ana', 1, 24, '[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.5,0,0,0,0.5,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]', 1),
	('northwind-talent', 'cleo', 1, 3, '[0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0.57714844,0,0,0,0,0,0,0,0,0,0]', 1);
INSERT INTO memory.evidence (tenant_id, user_id, memory_id, interaction_id, start_at, end_at, quote, stance, occurred_at, recorded_at) VALUES
	('northwind-talent', 'ana', 1, 'ana-0302-01', 0, 98, 'Morning! We haven''t met, so: my name is Ana Ferreira and I''m a senior recruiter here at Northwind.', 'supports', '2026-03-02 08:12:34+00', '2026-12-01 01:04:54.658021+00'),
	('northwind-talent', 'ana', 1, 'ana-0302-02', 0, 61, 'Good morning, Ana, nice to meet you. What are you hiring for?', 'supports', '2026-03-02 08:12:59+00', '2026-12-01 01:04:54.658021+00'),
	('northwind-talent', 'ana', 2, 'ana-0302-03', 0, 136, 'Platform engineers for Helio Grid. They keep solar parks online and their platform team is drowning. Three seats, all before the summer.', 'supports', '2026-03-02 08:13:43+00', '2026-12-01 01:04:54.65924+00'),
	('northwind-talent', 'ana', 2, 'ana-0302-04', 0, 79, 'Three platform engineers for Helio Grid before the summer. Where will they sit?', 'supports', '2026-03-02 08:14:12+00', '2026-12-01 01:04:54.65924+00'),
	('northwind-talent', 'ana', 3, 'ana-0302-05', 0, 105, 'Two in Munich, one in Berlin. I live in Berlin, so that one I can probably fill from my own address book.', 'supports', '2026-03-02 08:14:48+00', '2026-12-01 01:04:54.659627+00'),
	('northwind-talent', 'ana', 4, 'ana-0302-01', 29, 52, 'my name is Ana Ferreira', 'supports', '2026-03-02 08:12:34+00', '2026-12-01 01:04:54.646735+00'),
	('northwind-talent', 'ana', 5, 'ana-0302-01', 57, 97, 'I''m a senior recruiter here at Northwind', 'supports', '2026-03-02 08:12:34+00', '2026-12-01 01:04:54.646735+00'),
	('northwind-talent', 'ana', 6, 'ana-0302-01', 57, 97, 'I''m a senior recruiter here at Northwind', 'supports', '2026-03-02 08:12:34+00', '2026-12-01 01:04:54.646735+00'),
	('northwind-talent', 'ana', 8, 'ana-0316-01', 0, 21, 'I live in Munich now.', 'supports', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660018+00'),
	('northwind-talent', 'ana', 9, 'ana-0316-02', 0, 29, 'My favourite colour is green.', 'supports', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660375+00'),
	('northwind-talent', 'ana', 13, 'ana-0316-02', 0, 28, 'My favourite colour is green', 'supports', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660375+00'),
	('northwind-talent', 'ben', 1, 'ben-1-01', 0, 63, 'I work at Siemens. It''s a German company; I said "ok" \ ''fine''.', 'supports', '2026-03-03 09:00:00+00', '2026-12-01 01:04:54.663342+00'),
	('northwind-talent', 'ben', 2, 'ben-1-02', 0, 18, 'I am a vegetarian.', 'supports', '2026-03-03 09:00:00+00', '2026-12-01 01:04:54.663742+00'),
	('northwind-talent', 'ben', 3, 'ben-1-01', 0, 17, 'I work at Siemens', 'supports', '2026-03-03 09:00:00+00', '2026-12-01 01:04:54.663342+00'),
	('northwind-talent', 'ben', 4, 'ben-1-02', 0, 17, 'I am a vegetarian', 'supports', '2026-03-03 09:00:00+00', '2026-12-01 01:04:54.663742+00'),
	('northwind-talent', 'ana', 18, '2e22ff75b9f84737937114926814675f', 0, 20, 'ana likes them short', 'supports', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.187212+00'),
	('northwind-talent', 'ben', 5, '4a0d237a7d4b4a19afb4eeebb9f77bb8', 0, 20, 'ben likes them short', 'supports', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.218327+00'),
	('northwind-talent', 'cleo', 1, '61d7ff91c39648739e87dd6fdd2a468b', 0, 21, 'cleo likes them short', 'supports', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.234341+00'),
	('northwind-talent', 'ana', 21, 'ana-0302-05', 30, 46, 'I live in Berlin', 'supports', '2026-03-02 08:14:48+00', '2026-12-01 01:04:54.659627+00'),
	('northwind-talent', 'ana', 23, 'ana-0302-05', 30, 46, 'I live in Berlin', 'supports', '2026-03-02 08:14:48+00', '2026-12-01 01:04:54.659627+00'),
	('northwind-talent', 'ana', 23, 'ana-0316-01', 0, 20, 'I live in Munich now', 'contradicts', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660018+00'),
	('northwind-talent', 'ana', 24, 'ana-0316-01', 0, 20, 'I live in Munich now', 'supports', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660018+00'),
	('northwind-talent', 'cleo', 3, '56d8155dc8f84ee1a0c5de1797ae6b76', 0, 16, 'Works from Porto', 'supports', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.547562+00');
INSERT INTO memory.generations (generation, name, state, extractors, created_at, percent, followed) OVERRIDING SYSTEM VALUE VALUES
	(1, 'first', 'live', '{}', '2026-12-01 01:04:54.067653+00', 100, true);
INSERT INTO memory.interactions (tenant_id, user_id, session_id, ordinal, "position", interaction_id, agent_id, private, kind, role, actor, content, payload, occurred_at, recorded_at, source, content_hash, traceparent, tracestate, retracted_at) VALUES
	('northwind-talent', 'ana', 'ana-0302', 1, 1, 'ana-0302-01', 'scout', false, 'message', 'user', NULL, 'Morning! We haven''t met, so: my name is Ana Ferreira and I''m a senior recruiter here at Northwind.', '{}', '2026-03-02 08:12:34+00', '2026-12-01 01:04:54.646735+00', 'client', '\x3f9c01198b7bfe8517f98beaf4fd909d147da93cbb8c0874e4c46681eea14ff4', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0302', 2, 2, 'ana-0302-02', 'scout', false, 'message', 'assistant', NULL, 'Good morning, Ana, nice to meet you. What are you hiring for?', '{}', '2026-03-02 08:12:59+00', '2026-12-01 01:04:54.658021+00', 'client', '\x720e1b82bd5af4e217cfde75b32adf3d9cf3cd8bd89d3c906829bf4bb3b13aab', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0302', 3, 3, 'ana-0302-03', 'scout', false, 'message', 'user', NULL, 'Platform engineers for Helio Grid. They keep solar parks online and their platform team is drowning. Three seats, all before the summer.', '{}', '2026-03-02 08:13:43+00', '2026-12-01 01:04:54.658818+00', 'client', '\x568eb0582562c0445a6d959576591d55dea819391262edc3503b3b574d25340d', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0302', 4, 4, 'ana-0302-04', 'scout', false, 'message', 'assistant', NULL, 'Three platform engineers for Helio Grid before the summer. Where will they sit?', '{}', '2026-03-02 08:14:12+00', '2026-12-01 01:04:54.65924+00', 'client', '\x47575192f261109ea18f1455b7aaa58aefd77b27e24109f7371ba302f0b5e7c8', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0302', 5, 5, 'ana-0302-05', 'scout', false, 'message', 'user', NULL, 'Two in Munich, one in Berlin. I live in Berlin, so that one I can probably fill from my own address book.', '{}', '2026-03-02 08:14:48+00', '2026-12-01 01:04:54.659627+00', 'client', '\x12239f3657093185be62b33a1ef5225e9ca2cdcf77048889dd2ddfd6af841718', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0316', 1, 6, 'ana-0316-01', 'scout', false, 'message', 'user', NULL, 'I live in Munich now.', '{}', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660018+00', 'client', '\x757895d05c411756b88454625ea353e2cf3d8ecc476c6532ce0cc8c826c771d6', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0316', 3, 9, 'ana-0316-04', 'scout', false, 'tool_call', 'assistant', NULL, '', '{"tool": "search"}', '2026-03-17 09:00:00+00', '2026-12-01 01:04:54.662921+00', 'client', '\x2fa6ed1602f97c5779d18445ddb819ea2cfa3cffb92c04cb8ab898f9ca489d72', NULL, NULL, NULL),
	('northwind-talent', 'ben', 'ben-1', 1, 1, 'ben-1-01', NULL, false, 'message', 'user', NULL, 'I work at Siemens. It''s a German company; I said "ok" \ ''fine''.', '{}', '2026-03-03 09:00:00+00', '2026-12-01 01:04:54.663342+00', 'client', '\x1534d225dcd726ebcadc417371642b03dc21b6a207f83055dc8428ccfbdd3da3', NULL, NULL, NULL),
	('northwind-talent', 'ben', 'ben-1', 2, 2, 'ben-1-02', NULL, false, 'message', 'user', NULL, 'I am a vegetarian.', '{}', '2026-03-03 09:00:00+00', '2026-12-01 01:04:54.663742+00', 'client', '\xe47cad1f01810c0e43f13cd700d674bc99e74031ea0ad73fb02f2b0aa47f31c4', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'remembered', 1, 10, '2e22ff75b9f84737937114926814675f', NULL, false, 'message', 'user', NULL, 'ana likes them short', '{"remember": {"kind": "fact", "value": "short", "attribute": "prefers.outreach", "importance": 0.8, "single_valued": false}}', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.187212+00', 'client', '\xc81743f3701f333535afe9c6b6f5ec3f9c0ed48165ee16e10ddf23b01a7f9685', NULL, NULL, NULL),
	('northwind-talent', 'ben', 'remembered', 1, 3, '4a0d237a7d4b4a19afb4eeebb9f77bb8', NULL, false, 'message', 'user', NULL, 'ben likes them short', '{"remember": {"kind": "fact", "value": "short", "attribute": "prefers.outreach", "importance": 0.8, "single_valued": false}}', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.218327+00', 'client', '\x0ee8a9a94bccf69523b8fe504fb94a48df90a358ad2de10367ad661d23984a0e', NULL, NULL, NULL),
	('northwind-talent', 'cleo', 'remembered', 1, 1, '61d7ff91c39648739e87dd6fdd2a468b', NULL, false, 'message', 'user', NULL, 'cleo likes them short', '{"remember": {"kind": "fact", "value": "short", "attribute": "prefers.outreach", "importance": 0.8, "single_valued": false}}', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.234341+00', 'client', '\xc4657161475642e92870af89a54fef408db3415a39404e56aeb1621ed63a6cb1', NULL, NULL, NULL),
	('northwind-talent', 'ana', 'ana-0316', 2, 7, 'ana-0316-02', 'scout', false, 'message', 'user', NULL, 'My favourite colour is green.', '{}', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660375+00', 'client', '\xa3c9765b3ac076311369e99c90c5497f46a8e69ef8cb07d8ed2a85d79172be6c', NULL, NULL, '2026-12-01 01:04:55.279219+00'),
	('northwind-talent', 'cleo', 'remembered', 2, 2, '56d8155dc8f84ee1a0c5de1797ae6b76', NULL, false, 'message', 'user', NULL, 'Works from Porto', '{"remember": {"kind": "fact", "value": "porto", "attribute": "works_from", "importance": 0.8, "single_valued": false}}', '2026-03-20 09:00:00+00', '2026-12-01 01:04:55.547562+00', 'client', '\xf5deeb88186794bab6a3b774a681fca103ba5cc2964096af5d73e1a680e3e085', NULL, NULL, NULL),
	('northwind-talent', 'ben', 'ben-2', 1, 4, 'ben-2-01', NULL, false, 'message', 'user', NULL, 'I live in Oslo.', '{}', '2026-03-21 09:00:00+00', '2026-12-01 01:04:55.611402+00', 'client', '\x2831e0380223bfca36a6949305c91e9aaad58414ec555c1b467dc7527ec87879', NULL, NULL, NULL);
INSERT INTO memory.job_progress (tenant_id, job, cursor, token, leased_until, finished_at) VALUES
	('northwind-talent', 'decay', '', NULL, NULL, '2026-12-01 01:04:55.718754+00'),
	('northwind-talent', 'promote', '', NULL, NULL, '2026-12-01 01:04:55.789824+00');
INSERT INTO memory.memories (tenant_id, user_id, memory_id, generation, belief_key, kind, text, attribute, value, subject, context, single_valued, agent_id, session_id, ordinal, ordinal_to, confidence, importance, support, tokens, payload, lexemes, occurred_at, valid_from, valid_to, believed_from, believed_to, supersedes, archived_at, extractor, extractor_version, prompt, prompt_version, prompt_hash, model, initial_importance, contested) VALUES
	('northwind-talent', 'ana', 5, 1, '\x8987daf21b830cd294d4182037aaf899', 'fact', 'Is a senior recruiter here at Northwind', 'job_title', 'senior recruiter', NULL, NULL, true, NULL, 'ana-0302', 1, 1, 0.85, 0.9, 1, 10, '{}', '''northwind'':7 ''recruit'':4 ''senior'':3', '2026-03-02 08:12:34+00', '2026-03-02 08:12:34+00', NULL, '2026-12-01 01:04:54.646735+00', NULL, NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 6, 1, '\xcb69b6303e4f05c6c760f0e9d1014a8f', 'fact', 'Works at Northwind', 'works_at', 'northwind', NULL, NULL, true, NULL, 'ana-0302', 1, 1, 0.9, 0.9, 1, 5, '{}', '''northwind'':3 ''work'':1', '2026-03-02 08:12:34+00', '2026-03-02 08:12:34+00', NULL, '2026-12-01 01:04:54.646735+00', NULL, NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ben', 3, 1, '\xcb69b6303e4f05c6c760f0e9d1014a8f', 'fact', 'Works at Siemens', 'works_at', 'siemens', NULL, NULL, true, NULL, 'ben-1', 1, 1, 0.9, 0.9, 1, 4, '{}', '''siemen'':3 ''work'':1', '2026-03-03 09:00:00+00', '2026-03-03 09:00:00+00', NULL, '2026-12-01 01:04:54.663342+00', NULL, NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 18, 1, '\xa259f926d8f764ddceb5dd1ef63b1976', 'fact', 'ana likes them short', 'prefers.outreach', 'short', NULL, NULL, false, NULL, 'remembered', 1, 1, 1, 0.8, 1, 5, '{}', '''ana'':1 ''like'':2 ''short'':4', '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', NULL, '2026-12-01 01:04:55.187212+00', NULL, NULL, NULL, 'explicit', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ben', 5, 1, '\xa259f926d8f764ddceb5dd1ef63b1976', 'fact', 'ben likes them short', 'prefers.outreach', 'short', NULL, NULL, false, NULL, 'remembered', 1, 1, 1, 0.8, 1, 5, '{}', '''ben'':1 ''like'':2 ''short'':4', '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', NULL, '2026-12-01 01:04:55.218327+00', NULL, NULL, NULL, 'explicit', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'cleo', 1, 1, '\xa259f926d8f764ddceb5dd1ef63b1976', 'fact', 'cleo likes them short', 'prefers.outreach', 'short', NULL, NULL, false, NULL, 'remembered', 1, 1, 1, 0.8, 1, 6, '{}', '''cleo'':1 ''like'':2 ''short'':4', '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', NULL, '2026-12-01 01:04:55.234341+00', NULL, NULL, NULL, 'explicit', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 9, 1, '\x598c2773870c8180aef8550c0498b2bc', 'episode', 'User: My favourite colour is green.', NULL, NULL, NULL, NULL, false, NULL, 'ana-0316', 2, 2, 1, 0.5, 1, 9, '{"turns": [["User", false, 6, 35]], "preference": true}', '''16'':7 ''2026'':9 ''colour'':4 ''favourit'':3 ''green'':6 ''march'':8 ''monday'':10 ''user'':1', '2026-03-16 09:00:00+00', '2026-03-16 09:00:00+00', NULL, '2026-12-01 01:04:54.660375+00', '2026-12-01 01:04:55.279219+00', NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 13, 1, '\xc025ef84602805c529290f4297ffda3c', 'preference', 'Favourite colour is green', 'favourite.colour', 'green', NULL, NULL, true, NULL, 'ana-0316', 2, 2, 0.85, 0.8, 1, 7, '{}', '''colour'':2 ''favourit'':1 ''green'':4', '2026-03-16 09:00:00+00', '2026-03-16 09:00:00+00', NULL, '2026-12-01 01:04:54.660375+00', '2026-12-01 01:04:55.279219+00', NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 8, 1, '\x12fd13af965fac2189cfadb38adc721b', 'episode', 'User: I live in Munich now.', NULL, NULL, NULL, NULL, false, NULL, 'ana-0316', 1, 1, 1, 0.49235737, 1, 7, '{"turns": [["User", false, 6, 27]]}', '''16'':7 ''2026'':9 ''live'':3 ''march'':8 ''monday'':10 ''munich'':5 ''user'':1', '2026-03-16 09:00:00+00', '2026-03-16 09:00:00+00', NULL, '2026-12-01 01:04:54.660018+00', NULL, NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, 0.5, '{}'),
	('northwind-talent', 'ana', 4, 1, '\x977b1fb6fe6a973e3f8c1ee03e6af381', 'fact', 'Name is Ana Ferreira', 'name', 'ana ferreira', NULL, NULL, true, NULL, 'ana-0302', 1, 1, 0.85, 0.79297745, 1, 5, '{}', '''ana'':3 ''ferreira'':4 ''name'':1', '2026-03-02 08:12:34+00', '2026-03-02 08:12:34+00', NULL, '2026-12-01 01:04:54.646735+00', NULL, NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, 0.85, '{}'),
	('northwind-talent', 'ben', 2, 1, '\xb70d3ab7ac7ea1372471e0519b005c4a', 'episode', 'User: I am a vegetarian.', NULL, NULL, NULL, NULL, false, NULL, 'ben-1', 2, 2, 1, 0.4665165, 1, 6, '{"turns": [["User", false, 6, 24]]}', '''2026'':8 ''3'':6 ''march'':7 ''tuesday'':9 ''user'':1 ''vegetarian'':5', '2026-03-03 09:00:00+00', '2026-03-03 09:00:00+00', NULL, '2026-12-01 01:04:54.663742+00', NULL, NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, 0.5, '{}'),
	('northwind-talent', 'ana', 21, 1, '\xa66d7b96fe0417d6e24f0f1386f03232', 'fact', 'Lives in Berlin', 'lives_in', 'berlin', NULL, NULL, true, NULL, 'ana-0302', 5, 5, 0.9, 0.9, 1, 4, '{}', '''berlin'':3 ''live'':1', '2026-03-02 08:14:48+00', '2026-03-02 08:14:48+00', NULL, '2026-12-01 01:04:54.659627+00', '2026-12-01 01:04:54.660018+00', NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 23, 1, '\xa66d7b96fe0417d6e24f0f1386f03232', 'fact', 'Lives in Berlin', 'lives_in', 'berlin', NULL, NULL, true, NULL, 'ana-0302', 5, 5, 0.9, 0.9, 1, 4, '{}', '''berlin'':3 ''live'':1', '2026-03-02 08:14:48+00', '2026-03-02 08:14:48+00', '2026-03-16 09:00:00+00', '2026-12-01 01:04:54.660018+00', NULL, 21, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 24, 1, '\xa66d7b96fe0417d6e24f0f1386f03232', 'fact', 'Lives in Munich now', 'lives_in', 'munich', NULL, NULL, true, NULL, 'ana-0316', 1, 1, 0.9, 0.9, 1, 5, '{}', '''live'':1 ''munich'':3', '2026-03-16 09:00:00+00', '2026-03-16 09:00:00+00', NULL, '2026-12-01 01:04:54.660018+00', NULL, 21, NULL, 'statements', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'cleo', 3, 1, '\x8696febd22e358f5e091b20b90f08073', 'fact', 'Works from Porto', 'works_from', 'porto', NULL, NULL, false, NULL, 'remembered', 2, 2, 1, 0.8, 1, 4, '{}', '''porto'':3 ''work'':1', '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', NULL, '2026-12-01 01:04:55.547562+00', NULL, NULL, NULL, 'explicit', '1', NULL, NULL, NULL, NULL, NULL, '{}'),
	('northwind-talent', 'ana', 2, 1, '\x8be468880ece2c50dcc89cc179bff18f', 'episode', 'User: Platform engineers for Helio Grid. They keep solar parks online and their platform team is drowning. Three seats, all before the summer.
Assistant: Three platform engineers for Helio Grid before the summer. Where will they sit?', NULL, NULL, NULL, NULL, false, NULL, 'ana-0302', 3, 4, 1, 0.46645936, 1, 59, '{"turns": [["User", false, 6, 142], ["Assistant", true, 154, 233]]}', '''2'':38 ''2026'':40 ''assist'':24 ''drown'':17 ''engin'':3,27 ''grid'':6,30 ''helio'':5,29 ''keep'':8 ''march'':39 ''monday'':41 ''onlin'':11 ''park'':10 ''platform'':2,14,26 ''seat'':19 ''sit'':37 ''solar'':9 ''summer'':23,33 ''team'':15 ''three'':18,25 ''user'':1', '2026-03-02 08:14:12+00', '2026-03-02 08:13:43+00', NULL, '2026-12-01 01:04:54.65924+00', NULL, NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, 0.5, '{}'),
	('northwind-talent', 'ana', 1, 1, '\xab57ae8d0601f441436e547032fdd065', 'episode', 'User: Morning! We haven''t met, so: my name is Ana Ferreira and I''m a senior recruiter here at Northwind.
Assistant: Good morning, Ana, nice to meet you. What are you hiring for?', NULL, NULL, NULL, NULL, false, NULL, 'ana-0302', 1, 2, 1, 0.46645784, 1, 45, '{"turns": [["User", false, 6, 104], ["Assistant", true, 116, 177]]}', '''2'':35 ''2026'':37 ''ana'':11,25 ''assist'':22 ''ferreira'':12 ''good'':23 ''haven'':4 ''hire'':33 ''m'':15 ''march'':36 ''meet'':28 ''met'':6 ''monday'':38 ''morn'':2,24 ''name'':9 ''nice'':26 ''northwind'':21 ''recruit'':18 ''senior'':17 ''user'':1', '2026-03-02 08:12:59+00', '2026-03-02 08:12:34+00', NULL, '2026-12-01 01:04:54.658021+00', NULL, NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, 0.5, '{}'),
	('northwind-talent', 'ana', 3, 1, '\xd53be6dd4d4d82213c72ca08a3676f1a', 'episode', 'User: Two in Munich, one in Berlin. I live in Berlin, so that one I can probably fill from my own address book.', NULL, NULL, NULL, NULL, false, NULL, 'ana-0302', 5, 5, 1, 0.4664601, 1, 28, '{"turns": [["User", false, 6, 111]]}', '''2'':24 ''2026'':26 ''address'':22 ''berlin'':7,11 ''book'':23 ''fill'':18 ''live'':9 ''march'':25 ''monday'':27 ''munich'':4 ''one'':5,14 ''probabl'':17 ''two'':2 ''user'':1', '2026-03-02 08:14:48+00', '2026-03-02 08:14:48+00', NULL, '2026-12-01 01:04:54.659627+00', NULL, NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, 0.5, '{}'),
	('northwind-talent', 'ben', 4, 1, '\xe634594923729f7bab85c35be0dbe0c9', 'fact', 'Is a vegetarian', 'is.vegetarian', 'yes', NULL, NULL, true, NULL, 'ben-1', 2, 2, 0.9, 0.79307806, 1, 4, '{}', '''vegetarian'':3', '2026-03-03 09:00:00+00', '2026-03-03 09:00:00+00', NULL, '2026-12-01 01:04:54.663742+00', NULL, NULL, NULL, 'statements', '1', NULL, NULL, NULL, NULL, 0.85, '{}'),
	('northwind-talent', 'ben', 1, 1, '\xf6110f54f95cc36d56fd47e15360b96b', 'episode', 'User: I work at Siemens. It''s a German company; I said "ok" \ ''fine''.', NULL, NULL, NULL, NULL, false, NULL, 'ben-1', 1, 1, 1, 0.4665165, 1, 18, '{"turns": [["User", false, 6, 69]]}', '''2026'':17 ''3'':15 ''compani'':10 ''fine'':14 ''german'':9 ''march'':16 ''ok'':13 ''said'':12 ''siemen'':5 ''tuesday'':18 ''user'':1 ''work'':3', '2026-03-03 09:00:00+00', '2026-03-03 09:00:00+00', NULL, '2026-12-01 01:04:54.663342+00', NULL, NULL, NULL, 'episodes', '1', NULL, NULL, NULL, NULL, 0.5, '{}');
INSERT INTO memory.positions (cluster_id, topic_id, partition, topic, next_offset, epoch, owner, record_time, appended, duplicates, forgotten, set_aside, updated_at) VALUES
	('c-1', 't-1', 0, 'interactions', 1, 1, 'host-1', '2026-03-03 09:00:00+00', 0, 0, 0, 1, '2026-12-01 01:04:55.810339+00');
INSERT INTO memory.progress (tenant_id, user_id, generation, session_id, ordinal, attempts, error, set_aside_at, retry_at, reread_through, reread_at, unheard) VALUES
	('northwind-talent', 'ana', 1, 'ana-0302', 5, 0, NULL, NULL, NULL, 0, NULL, 0),
	('northwind-talent', 'ben', 1, 'ben-1', 2, 0, NULL, NULL, NULL, 0, NULL, 0),
	('northwind-talent', 'ben', 1, 'remembered', 1, 0, NULL, NULL, NULL, 0, NULL, 0),
	('northwind-talent', 'cleo', 1, 'remembered', 1, 0, NULL, NULL, NULL, 0, NULL, 0),
	('northwind-talent', 'ana', 1, 'ana-0316', 3, 0, NULL, NULL, NULL, 3, '2026-12-01 01:04:55.279219+00', 0),
	('northwind-talent', 'ana', 1, 'remembered', 1, 0, NULL, NULL, NULL, 0, NULL, 0);
INSERT INTO memory.retractions (tenant_id, user_id, interaction_id, retracted_at, retracted_by, reason, restored_at, restored_by, restored_reason) VALUES
	('northwind-talent', 'ana', 'ana-0316-02', '2026-12-01 01:04:55.279219+00', 'ana', 'A joke', NULL, NULL, NULL);
INSERT INTO memory.schema_migrations (version, name, sha256, applied_at) VALUES
	(1, 'foundations', '4b2376fae6a5f7b28c646730842849530f72c917bf5f5ea40a83a9b72c89c18b', '2026-12-01 01:04:54.067653+00'),
	(2, 'log', '1f02fd0ab0439eaf0fdd4c2d21bccae7250df7383bbd64e2c84f1c8889094bdd', '2026-12-01 01:04:54.096069+00'),
	(3, 'memories', 'd385879664de7eb571403a406b5839e9e7d24ebc898088798c3366dcba89e5a5', '2026-12-01 01:04:54.131059+00'),
	(4, 'collective', '54b87cc292eb3074e5833ea2f4fe13c1a03878d05fb026196d4efa3ca5b81afa', '2026-12-01 01:04:54.171074+00'),
	(5, 'isolation', 'c949616d6067adad86d51bd60c8091542fd2e40192b860bcc4afad996d80672f', '2026-12-01 01:04:54.206652+00'),
	(6, 'compaction', 'b9998a7df7991454b19923d4d73769c7cfbcc0462fa1ec6e7fdf4a6c35da48c8', '2026-12-01 01:04:54.221744+00'),
	(7, 'summary_sources', '64a1edd241767a6809e0361dc5219f23bb18bd6a1e3b3b666956701825bbffc3', '2026-12-01 01:04:54.275945+00'),
	(8, 'generations', '53362f469e24a13190402edaab8780231356a824939ac7b0b339123ff8ab7330', '2026-12-01 01:04:54.282681+00'),
	(9, 'positions', '852604e815db0574b5a562645e78858c89704354a7c5421ea1097f124afe3970', '2026-12-01 01:04:54.316375+00'),
	(10, 'contested', '656de276a80830c70087c4f5fa6840cb5eea2c05fa52449e81aa96acfbb1ae78', '2026-12-01 01:04:54.342723+00'),
	(11, 'claims', 'a72a01ca76fac5df1218d90450c0b14867abe640ad5e7fc8311d2fc8d1f51d18', '2026-12-01 01:04:54.34794+00'),
	(12, 'append_interaction', '7565dec72540d4785fd43bc988540140b60b1e2645edaecd093a279cd355e5a8', '2026-12-01 01:04:54.366336+00'),
	(13, 'retractions', '79bc70862584ca423c3c96ff3426d35458a0dd4fbf1e29ed16a3bc25b14d0009', '2026-12-01 01:04:54.371829+00'),
	(14, 'changes', 'f4b6a5b8bc92cfee963264d0b707c50c3248b2a08ae5f5d1c6b59ee0063c9041', '2026-12-01 01:04:54.385952+00'),
	(15, 'two_clocks', 'f81d272d6e6f338f2464fd5fcae3cd00b26c7be014976dc10e0ac215868ec6f0', '2026-12-01 01:04:54.418893+00'),
	(16, 'models', 'ee6141fcabd82049ee9d48a6ba78fe895423c5b1f6fd3e0eec9e019effd29360', '2026-12-01 01:04:54.422624+00'),
	(17, 'recall_blocks', 'fe3a24deebf45f6e8ee7d7fa9b0487cdb51e2b6c8f3914a79194d0c96250aa58', '2026-12-01 01:04:54.454617+00'),
	(18, 'lost_leases', '84eaa4dcd745f9017fe3862fca3501bd2f17ce1498a648f4350211de697cfb54', '2026-12-01 01:04:54.474337+00'),
	(19, 'checked_blocks', '350272c7413e9b989ffb90926ddf69f407833a40b4ec7a794f64e61ef41304fb', '2026-12-01 01:04:54.482738+00'),
	(20, 'collective_blocks', '9797dadd36f9447df022e7bb2807acc328b385b110f7893633340173d2200cd2', '2026-12-01 01:04:54.502848+00'),
	(21, 'call_append', '88f6bebccc74a4cafe5ec45bed6200a70f7a6b3c64199af397fb12ad8259824e', '2026-12-01 01:04:54.518618+00');
INSERT INTO memory.sessions (tenant_id, user_id, session_id, agent_id, length, started_at, last_at, expires_at, closed_at, summary, summary_through, summary_sources) VALUES
	('northwind-talent', 'ana', 'ana-0302', 'scout', 5, '2026-03-02 08:12:34+00', '2026-03-02 08:14:48+00', '2026-12-31 01:04:54.659627+00', NULL, '', 0, '{}'),
	('northwind-talent', 'ben', 'ben-1', NULL, 2, '2026-03-03 09:00:00+00', '2026-03-03 09:00:00+00', '2026-12-31 01:04:54.663742+00', NULL, '', 0, '{}'),
	('northwind-talent', 'ana', 'remembered', NULL, 1, '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', '2026-12-31 01:04:55.187212+00', NULL, '', 0, '{}'),
	('northwind-talent', 'ben', 'remembered', NULL, 1, '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', '2026-12-31 01:04:55.218327+00', NULL, '', 0, '{}'),
	('northwind-talent', 'ana', 'ana-0316', 'scout', 3, '2026-03-16 09:00:00+00', '2026-03-17 09:00:00+00', '2026-12-31 01:04:54.662921+00', NULL, '', 0, '{}'),
	('northwind-talent', 'cleo', 'remembered', NULL, 2, '2026-03-20 09:00:00+00', '2026-03-20 09:00:00+00', '2026-12-31 01:04:55.547562+00', NULL, '', 0, '{}'),
	('northwind-talent', 'ben', 'ben-2', NULL, 1, '2026-03-21 09:00:00+00', '2026-03-21 09:00:00+00', '2026-12-31 01:04:55.611402+00', NULL, '', 0, '{}');
INSERT INTO memory.task_state (tenant_id, user_id, session_id, key, value, updated_at) VALUES
	('northwind-talent', 'ana', 'ana-0316', 'step', '{"n": 2}', '2026-12-01 01:04:55.543054+00');
INSERT INTO memory.tenants (tenant_id, policy, change_seq, secret) VALUES
	('northwind-talent', '{"k": 2, "jitter": 0}', 1, '\x61fe49808f6b4b6088f3ceaf5f260312ef7e3ac5ab0b4be280c1e9fa09c52186');
INSERT INTO memory.tombstones (tenant_id, user_id, id_digest, session_id, ordinal, forgotten_at) VALUES
	('northwind-talent', 'ana', '\x84b000ff69ca55008e7aaad47ccfe94eb88e7fedba9a627ad880e73981c19459', 'ana-0317', 1, '2026-12-01 01:04:55.251652+00');
INSERT INTO memory.users (tenant_id, user_id, "position", change_seq, forget_seq, recorded_at, due_at, extracted, lease_token, leased_until, backfill, lost_leases) VALUES
	('northwind-talent', 'ana', 10, 29, 2, '2026-12-01 01:04:55.187212+00', NULL, 10, NULL, NULL, false, 0),
	('northwind-talent', 'cleo', 2, 3, 0, '2026-12-01 01:04:55.547562+00', '2026-12-01 01:04:55.547562+00', 1, NULL, NULL, false, 0),
	('northwind-talent', 'ben', 4, 6, 0, '2026-12-01 01:04:55.611402+00', '2026-12-01 01:04:55.611402+00', 3, NULL, NULL, false, 0);
SELECT pg_catalog.setval('memory.dead_letters_letter_id_seq', 1, true);
SELECT pg_catalog.setval('memory.embedders_embedder_id_seq', 1, true);
SELECT pg_catalog.setval('memory.generations_generation_seq', 1, true);
ALTER TABLE ONLY memory.assertions
    ADD CONSTRAINT assertions_pkey PRIMARY KEY (tenant_id, user_id, generation, belief_key, assertion_id);
ALTER TABLE ONLY memory.change_places
    ADD CONSTRAINT change_places_pkey PRIMARY KEY (tenant_id, user_id);
ALTER TABLE ONLY memory.change_stream
    ADD CONSTRAINT change_stream_pkey PRIMARY KEY (the_one);
ALTER TABLE ONLY memory.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (tenant_id, user_id, seq);
ALTER TABLE ONLY memory.collective_blocks
    ADD CONSTRAINT collective_blocks_pkey PRIMARY KEY (tenant_id, block);
ALTER TABLE ONLY memory.collective_embeddings
    ADD CONSTRAINT collective_embeddings_pkey PRIMARY KEY (tenant_id, embedder_id, memory_id);
ALTER TABLE ONLY memory.collective_memories
    ADD CONSTRAINT collective_memories_pkey PRIMARY KEY (tenant_id, memory_id);
ALTER TABLE ONLY memory.collective_support
    ADD CONSTRAINT collective_support_pkey PRIMARY KEY (tenant_id, memory_id, user_id);
ALTER TABLE ONLY memory.collective_withdrawals
    ADD CONSTRAINT collective_withdrawals_pkey PRIMARY KEY (tenant_id, belief_digest);
ALTER TABLE ONLY memory.dead_letters
    ADD CONSTRAINT dead_letters_letter_id_key UNIQUE (letter_id);
ALTER TABLE ONLY memory.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (cluster_id, topic_id, partition, record_offset);
ALTER TABLE ONLY memory.derivations
    ADD CONSTRAINT derivations_pkey PRIMARY KEY (tenant_id, user_id, generation);
ALTER TABLE ONLY memory.embedders
    ADD CONSTRAINT embedders_name_key UNIQUE (name);
ALTER TABLE ONLY memory.embedders
    ADD CONSTRAINT embedders_pkey PRIMARY KEY (embedder_id);
ALTER TABLE ONLY memory.embeddings
    ADD CONSTRAINT embeddings_pkey PRIMARY KEY (tenant_id, user_id, embedder_id, generation, memory_id);
ALTER TABLE ONLY memory.evidence
    ADD CONSTRAINT evidence_pkey PRIMARY KEY (tenant_id, user_id, memory_id, interaction_id, start_at, stance);
ALTER TABLE ONLY memory.forgotten_beliefs
    ADD CONSTRAINT forgotten_beliefs_pkey PRIMARY KEY (tenant_id, user_id, belief_key, value_digest);
ALTER TABLE ONLY memory.generations
    ADD CONSTRAINT generations_name_key UNIQUE (name);
ALTER TABLE ONLY memory.generations
    ADD CONSTRAINT generations_pkey PRIMARY KEY (generation);
ALTER TABLE ONLY memory.interactions
    ADD CONSTRAINT interactions_pkey PRIMARY KEY (tenant_id, user_id, session_id, ordinal);
ALTER TABLE ONLY memory.interactions
    ADD CONSTRAINT interactions_tenant_id_user_id_interaction_id_key UNIQUE (tenant_id, user_id, interaction_id);
ALTER TABLE ONLY memory.job_progress
    ADD CONSTRAINT job_progress_pkey PRIMARY KEY (tenant_id, job);
ALTER TABLE ONLY memory.memories
    ADD CONSTRAINT memories_pkey PRIMARY KEY (tenant_id, user_id, memory_id);
ALTER TABLE ONLY memory.model_answers
    ADD CONSTRAINT model_answers_pkey PRIMARY KEY (tenant_id, user_id, answer_key);
ALTER TABLE ONLY memory.model_calls
    ADD CONSTRAINT model_calls_pkey PRIMARY KEY (tenant_id, user_id, call_id);
ALTER TABLE ONLY memory.model_spend
    ADD CONSTRAINT model_spend_pkey PRIMARY KEY (tenant_id, day, generation, task, prompt, prompt_version, model, prompt_hash);
ALTER TABLE ONLY memory.positions
    ADD CONSTRAINT positions_pkey PRIMARY KEY (cluster_id, topic_id, partition);
ALTER TABLE ONLY memory.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (tenant_id, user_id, generation, session_id);
ALTER TABLE ONLY memory.prompts
    ADD CONSTRAINT prompts_pkey PRIMARY KEY (name, version);
ALTER TABLE ONLY memory.recall_blocks
    ADD CONSTRAINT recall_blocks_pkey PRIMARY KEY (tenant_id, user_id, generation, block);
ALTER TABLE ONLY memory.recall_uses
    ADD CONSTRAINT recall_uses_pkey PRIMARY KEY (tenant_id, user_id, memory_id);
ALTER TABLE ONLY memory.retractions
    ADD CONSTRAINT retractions_pkey PRIMARY KEY (tenant_id, user_id, interaction_id, retracted_at);
ALTER TABLE ONLY memory.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
ALTER TABLE ONLY memory.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (tenant_id, user_id, session_id);
ALTER TABLE ONLY memory.task_state
    ADD CONSTRAINT task_state_pkey PRIMARY KEY (tenant_id, user_id, session_id, key);
ALTER TABLE ONLY memory.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id);
ALTER TABLE ONLY memory.tombstones
    ADD CONSTRAINT tombstones_pkey PRIMARY KEY (tenant_id, user_id, id_digest);
ALTER TABLE ONLY memory.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (tenant_id, user_id);
CREATE INDEX change_places_waiting ON memory.change_places USING btree (waiting_since) WHERE (waiting_since IS NOT NULL);
CREATE INDEX changes_memory ON memory.changes USING btree (tenant_id, user_id, memory_id);
CREATE UNIQUE INDEX collective_memories_one_belief ON memory.collective_memories USING btree (tenant_id, belief_key) WHERE (believed_to IS NULL);
CREATE INDEX collective_support_user ON memory.collective_support USING btree (tenant_id, user_id);
CREATE INDEX dead_letters_unsent ON memory.dead_letters USING btree (letter_id) WHERE (sent_at IS NULL);
CREATE INDEX dead_letters_users ON memory.dead_letters USING btree (tenant_id, user_id);
CREATE UNIQUE INDEX embedders_one_live ON memory.embedders USING btree (state) WHERE (state = 'live'::text);
CREATE INDEX evidence_interaction ON memory.evidence USING btree (tenant_id, user_id, interaction_id);
CREATE UNIQUE INDEX generations_serving ON memory.generations USING btree (state) WHERE (percent > 0);
CREATE INDEX interactions_actors ON memory.interactions USING btree (tenant_id, actor) WHERE (actor IS NOT NULL);
CREATE INDEX interactions_acts ON memory.interactions USING btree (tenant_id, user_id, "position") WHERE (kind <> 'message'::text);
CREATE INDEX interactions_retracted ON memory.interactions USING btree (tenant_id, user_id, interaction_id) WHERE (retracted_at IS NOT NULL);
CREATE INDEX memories_current ON memory.memories USING btree (tenant_id, user_id, generation, memory_id) WHERE ((believed_to IS NULL) AND (archived_at IS NULL));
CREATE UNIQUE INDEX memories_one_belief ON memory.memories USING btree (tenant_id, user_id, generation, belief_key, valid_from, COALESCE(value, ''::text)) WHERE (believed_to IS NULL);
CREATE INDEX memories_promotable ON memory.memories USING btree (tenant_id, generation, attribute, user_id) WHERE ((believed_to IS NULL) AND (archived_at IS NULL) AND (subject IS NULL) AND (agent_id IS NULL) AND (value IS NOT NULL) AND (length(attribute) <= 100));
CREATE INDEX memories_subjects ON memory.memories USING btree (tenant_id, subject) WHERE (subject IS NOT NULL);
CREATE INDEX model_calls_newest ON memory.model_calls USING btree (tenant_id, called_at);
CREATE INDEX sessions_open ON memory.sessions USING btree (tenant_id, user_id, session_id) WHERE (closed_at IS NULL);
CREATE INDEX users_due ON memory.users USING btree (backfill, due_at) WHERE (due_at IS NOT NULL);
CREATE CONSTRAINT TRIGGER began_waiting AFTER INSERT ON memory.change_places DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.waiting_since IS NOT NULL)) EXECUTE FUNCTION memory.wake('memory_changes');
CREATE CONSTRAINT TRIGGER came_due AFTER INSERT ON memory.users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.due_at IS NOT NULL)) EXECUTE FUNCTION memory.wake('memory_due');
CREATE TRIGGER kept_delete AFTER DELETE ON memory.memories REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION memory.keep_delete();
CREATE TRIGGER kept_insert AFTER INSERT ON memory.memories REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION memory.keep_insert();
CREATE TRIGGER kept_update AFTER UPDATE ON memory.memories REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION memory.keep_update();
CREATE CONSTRAINT TRIGGER turned_due AFTER UPDATE ON memory.users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((((old.due_at IS NULL) AND (new.due_at IS NOT NULL)) OR (new.due_at < old.due_at))) EXECUTE FUNCTION memory.wake('memory_due');
CREATE TRIGGER unsealed_delete AFTER DELETE ON memory.collective_memories REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION memory.unseal_collective_moved();
CREATE TRIGGER unsealed_delete AFTER DELETE ON memory.memories REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION memory.unseal_moved();
CREATE TRIGGER unsealed_insert AFTER INSERT ON memory.collective_memories REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION memory.unseal_collective_moved();
CREATE TRIGGER unsealed_insert AFTER INSERT ON memory.memories REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION memory.unseal_moved();
CREATE TRIGGER unsealed_update AFTER UPDATE ON memory.collective_memories FOR EACH ROW WHEN ((((old.believed_to IS NULL) IS DISTINCT FROM (new.believed_to IS NULL)) OR (old.lexemes IS DISTINCT FROM new.lexemes))) EXECUTE FUNCTION memory.unseal_collective_changed();
CREATE TRIGGER unsealed_update AFTER UPDATE ON memory.memories FOR EACH ROW WHEN (((((old.believed_to IS NULL) AND (old.archived_at IS NULL)) IS DISTINCT FROM ((new.believed_to IS NULL) AND (new.archived_at IS NULL))) OR ((((((old.agent_id IS DISTINCT FROM new.agent_id) OR (old.session_id IS DISTINCT FROM new.session_id)) OR (old.ordinal IS DISTINCT FROM new.ordinal)) OR (old.ordinal_to IS DISTINCT FROM new.ordinal_to)) OR (old.attribute IS DISTINCT FROM new.attribute)) OR (old.lexemes IS DISTINCT FROM new.lexemes)))) EXECUTE FUNCTION memory.unseal_changed();
CREATE CONSTRAINT TRIGGER waits_again AFTER UPDATE ON memory.change_places DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((old.waiting_since IS NULL) AND (new.waiting_since IS NOT NULL))) EXECUTE FUNCTION memory.wake('memory_changes');
ALTER TABLE ONLY memory.collective_embeddings
    ADD CONSTRAINT collective_embeddings_embedder_id_fkey FOREIGN KEY (embedder_id) REFERENCES memory.embedders(embedder_id);
ALTER TABLE ONLY memory.collective_embeddings
    ADD CONSTRAINT collective_embeddings_tenant_id_memory_id_fkey FOREIGN KEY (tenant_id, memory_id) REFERENCES memory.collective_memories(tenant_id, memory_id) ON DELETE CASCADE;
ALTER TABLE ONLY memory.collective_support
    ADD CONSTRAINT collective_support_tenant_id_memory_id_fkey FOREIGN KEY (tenant_id, memory_id) REFERENCES memory.collective_memories(tenant_id, memory_id) ON DELETE CASCADE;
ALTER TABLE ONLY memory.embeddings
    ADD CONSTRAINT embeddings_embedder_id_fkey FOREIGN KEY (embedder_id) REFERENCES memory.embedders(embedder_id);
ALTER TABLE ONLY memory.embeddings
    ADD CONSTRAINT embeddings_tenant_id_user_id_memory_id_fkey FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memory.memories(tenant_id, user_id, memory_id) ON DELETE CASCADE;
ALTER TABLE ONLY memory.evidence
    ADD CONSTRAINT evidence_tenant_id_user_id_memory_id_fkey FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memory.memories(tenant_id, user_id, memory_id) ON DELETE CASCADE;
ALTER TABLE ONLY memory.recall_uses
    ADD CONSTRAINT recall_uses_tenant_id_user_id_memory_id_fkey FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memory.memories(tenant_id, user_id, memory_id) ON DELETE CASCADE;
ALTER TABLE memory.assertions ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.change_places ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY client ON memory.assertions TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.change_places TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.changes TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.collective_blocks FOR SELECT TO memory_client USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY client ON memory.collective_embeddings FOR SELECT TO memory_client USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY client ON memory.collective_memories FOR SELECT TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (believed_to IS NULL)));
CREATE POLICY client ON memory.derivations TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.embeddings TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.evidence TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.forgotten_beliefs TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.interactions TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.memories TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.model_answers TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.model_calls TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.progress TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.recall_blocks TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.recall_uses TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.retractions TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.sessions TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.task_state TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.tombstones TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
CREATE POLICY client ON memory.users TO memory_client USING (((tenant_id = memory.bound_tenant()) AND (user_id = memory.bound_user())));
ALTER TABLE memory.collective_blocks ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.collective_embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.collective_memories ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.collective_support ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.collective_withdrawals ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.derivations ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.embeddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.evidence ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.forgotten_beliefs ENABLE ROW LEVEL SECURITY;
CREATE POLICY holding ON memory.users FOR UPDATE TO memory_worker USING ((memory.bound_tenant() IS NULL));
ALTER TABLE memory.interactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.job_progress ENABLE ROW LEVEL SECURITY;
CREATE POLICY leasing ON memory.users FOR SELECT TO memory_worker USING ((memory.bound_tenant() IS NULL));
ALTER TABLE memory.memories ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.model_answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.model_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.model_spend ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.progress ENABLE ROW LEVEL SECURITY;
CREATE POLICY publishing ON memory.change_places FOR SELECT TO memory_worker USING ((memory.bound_tenant() IS NULL));
ALTER TABLE memory.recall_blocks ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.recall_uses ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.retractions ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.task_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.tombstones ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory.users ENABLE ROW LEVEL SECURITY;
CREATE POLICY worker ON memory.assertions TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.change_places TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.changes TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.collective_blocks TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.collective_embeddings TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.collective_memories TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.collective_support TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.collective_withdrawals TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.dead_letters TO memory_worker USING (((tenant_id = memory.bound_tenant()) OR (memory.bound_tenant() IS NULL)));
CREATE POLICY worker ON memory.derivations TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.embeddings TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.evidence TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.forgotten_beliefs TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.interactions TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.job_progress TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.memories TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.model_answers TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.model_calls TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.model_spend TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.progress TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.recall_blocks TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.recall_uses TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.retractions TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.sessions TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.task_state TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.tenants TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.tombstones TO memory_worker USING ((tenant_id = memory.bound_tenant()));
CREATE POLICY worker ON memory.users TO memory_worker USING ((tenant_id = memory.bound_tenant()));
GRANT USAGE ON SCHEMA memory TO memory_client;
GRANT USAGE ON SCHEMA memory TO memory_worker;
REVOKE ALL ON PROCEDURE memory.append_interaction(IN for_tenant text, IN for_user text, IN session text, IN agent text, IN private boolean, IN id text, IN digest bytea, IN kind text, IN role text, IN actor text, IN content text, IN payload jsonb, IN at timestamp with time zone, IN source text, IN hash bytea, IN session_ttl double precision, OUT ordinal integer, OUT "position" bigint) FROM PUBLIC;
GRANT ALL ON PROCEDURE memory.append_interaction(IN for_tenant text, IN for_user text, IN session text, IN agent text, IN private boolean, IN id text, IN digest bytea, IN kind text, IN role text, IN actor text, IN content text, IN payload jsonb, IN at timestamp with time zone, IN source text, IN hash bytea, IN session_ttl double precision, OUT ordinal integer, OUT "position" bigint) TO memory_client;
GRANT ALL ON PROCEDURE memory.append_interaction(IN for_tenant text, IN for_user text, IN session text, IN agent text, IN private boolean, IN id text, IN digest bytea, IN kind text, IN role text, IN actor text, IN content text, IN payload jsonb, IN at timestamp with time zone, IN source text, IN hash bytea, IN session_ttl double precision, OUT ordinal integer, OUT "position" bigint) TO memory_worker;
REVOKE ALL ON FUNCTION memory.block_lock(tenant_id text, user_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.block_lock(tenant_id text, user_id text) TO memory_client;
GRANT ALL ON FUNCTION memory.block_lock(tenant_id text, user_id text) TO memory_worker;
REVOKE ALL ON FUNCTION memory.block_of(tenant text, owner text, derived smallint, number bigint, OUT members bytea, OUT postings tsvector) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.block_of(tenant text, owner text, derived smallint, number bigint, OUT members bytea, OUT postings tsvector) TO memory_client;
GRANT ALL ON FUNCTION memory.block_of(tenant text, owner text, derived smallint, number bigint, OUT members bytea, OUT postings tsvector) TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.memories TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.memories TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.changes TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.changes TO memory_worker;
GRANT SELECT ON TABLE memory.change_stream TO memory_client;
GRANT SELECT,UPDATE ON TABLE memory.change_stream TO memory_worker;
REVOKE ALL ON FUNCTION memory.collective_block_of(tenant text, number bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.collective_block_of(tenant text, number bigint) TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.tenants TO memory_worker;
REVOKE ALL ON FUNCTION memory.collective_digest(belief_key bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.collective_digest(belief_key bytea) TO memory_worker;
REVOKE ALL ON FUNCTION memory.collective_spread() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.collective_spread() TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.collective_withdrawals TO memory_worker;
REVOKE ALL ON FUNCTION memory.collective_jitter(belief_key bytea, threshold text) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.collective_jitter(belief_key bytea, threshold text) TO memory_worker;
REVOKE ALL ON FUNCTION memory.collective_k() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.collective_k() TO memory_worker;
REVOKE ALL ON FUNCTION memory.collective_step(belief_key bytea, supporters bigint, published integer) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.collective_step(belief_key bytea, supporters bigint, published integer) TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.interactions TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.interactions TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.retractions TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.retractions TO memory_worker;
REVOKE ALL ON FUNCTION memory.counted_then(i memory.interactions, as_of timestamp with time zone, believed_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.counted_then(i memory.interactions, as_of timestamp with time zone, believed_at timestamp with time zone) TO memory_client;
GRANT ALL ON FUNCTION memory.counted_then(i memory.interactions, as_of timestamp with time zone, believed_at timestamp with time zone) TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.dead_letters TO memory_worker;
REVOKE ALL ON FUNCTION memory.forget_dead_letters(session text, ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.forget_dead_letters(session text, ids text[]) TO memory_client;
REVOKE ALL ON FUNCTION memory.held_then(m memory.memories, as_of timestamp with time zone, believed_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.held_then(m memory.memories, as_of timestamp with time zone, believed_at timestamp with time zone) TO memory_client;
GRANT ALL ON FUNCTION memory.held_then(m memory.memories, as_of timestamp with time zone, believed_at timestamp with time zone) TO memory_worker;
REVOKE ALL ON FUNCTION memory.inverted(held tsvector[]) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.inverted(held tsvector[]) TO memory_client;
GRANT ALL ON FUNCTION memory.inverted(held tsvector[]) TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.change_places TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.change_places TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.users TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.users TO memory_worker;
REVOKE ALL ON FUNCTION memory.member(m memory.memories) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.member(m memory.memories) TO memory_client;
GRANT ALL ON FUNCTION memory.member(m memory.memories) TO memory_worker;
GRANT SELECT ON TABLE memory.embedders TO memory_client;
GRANT SELECT,INSERT,UPDATE ON TABLE memory.embedders TO memory_worker;
REVOKE ALL ON FUNCTION memory.register_embedder(name text, dimensions integer) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.register_embedder(name text, dimensions integer) TO memory_client;
GRANT ALL ON FUNCTION memory.register_embedder(name text, dimensions integer) TO memory_worker;
REVOKE ALL ON FUNCTION memory.seal_block(tenant text, owner text, derived smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.seal_block(tenant text, owner text, derived smallint) TO memory_client;
GRANT ALL ON FUNCTION memory.seal_block(tenant text, owner text, derived smallint) TO memory_worker;
REVOKE ALL ON FUNCTION memory.seal_collective_block(tenant text) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.seal_collective_block(tenant text) TO memory_worker;
GRANT SELECT ON TABLE memory.generations TO memory_client;
GRANT SELECT,INSERT,UPDATE ON TABLE memory.generations TO memory_worker;
REVOKE ALL ON FUNCTION memory.unseal_changed() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.unseal_changed() TO memory_client;
GRANT ALL ON FUNCTION memory.unseal_changed() TO memory_worker;
REVOKE ALL ON FUNCTION memory.unseal_collective_changed() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.unseal_collective_changed() TO memory_worker;
REVOKE ALL ON FUNCTION memory.unseal_collective_moved() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.unseal_collective_moved() TO memory_worker;
REVOKE ALL ON FUNCTION memory.unseal_moved() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.unseal_moved() TO memory_client;
GRANT ALL ON FUNCTION memory.unseal_moved() TO memory_worker;
GRANT SELECT ON TABLE memory.collective_memories TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.collective_memories TO memory_worker;
REVOKE ALL ON FUNCTION memory.withdraw_collective(memories bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION memory.withdraw_collective(memories bigint[]) TO memory_worker;
REVOKE ALL ON FUNCTION memory.withdraw_support() FROM PUBLIC;
GRANT ALL ON FUNCTION memory.withdraw_support() TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.assertions TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.assertions TO memory_worker;
GRANT SELECT ON TABLE memory.collective_blocks TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.collective_blocks TO memory_worker;
GRANT SELECT ON TABLE memory.collective_embeddings TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.collective_embeddings TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.collective_support TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.derivations TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.derivations TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.embeddings TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.embeddings TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.evidence TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.evidence TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.forgotten_beliefs TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.forgotten_beliefs TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.job_progress TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.model_answers TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.model_answers TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.model_calls TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.model_calls TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.model_spend TO memory_worker;
GRANT SELECT ON TABLE memory.positions TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.positions TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.progress TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.progress TO memory_worker;
GRANT SELECT ON TABLE memory.prompts TO memory_client;
GRANT SELECT,INSERT ON TABLE memory.prompts TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.recall_blocks TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.recall_blocks TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.recall_uses TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.recall_uses TO memory_worker;
GRANT SELECT ON TABLE memory.schema_migrations TO memory_client;
GRANT SELECT ON TABLE memory.schema_migrations TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.sessions TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.sessions TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.task_state TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.task_state TO memory_worker;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.tombstones TO memory_client;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE memory.tombstones TO memory_worker;
