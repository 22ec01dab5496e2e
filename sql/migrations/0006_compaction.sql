-- What the operators' jobs keep, and what hides single users behind the collective tier.

-- Thresholds of the collective tier move by digests under this secret: whoever knows all supporters
-- but one still does not know at which count the next belief is published or withdrawn.
ALTER TABLE tenants ADD COLUMN secret bytea NOT NULL
    DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
-- The numbers that forgetting reads: a policy that cannot be read must not get in its way.
ALTER TABLE tenants ADD CONSTRAINT policy_readable CHECK (
    jsonb_typeof(policy) = 'object' AND COALESCE((policy->>'k')::int, 5) >= 2
    AND COALESCE((policy->>'jitter')::int, 0) BETWEEN 0 AND 1000);

ALTER TABLE collective_memories
    ADD COLUMN people         text NOT NULL DEFAULT 'users',  -- what its supporters are called
    ADD COLUMN evidence_kinds text[] NOT NULL DEFAULT '{}';   -- those that k supporters share
ALTER POLICY client ON collective_memories
    USING (tenant_id = bound_tenant() AND believed_to IS NULL);

-- What was withdrawn, under a digest that only the secret can make again: how often, for fresh
-- thresholds each time, and when, so that nothing comes back at once.
CREATE TABLE collective_withdrawals (
    tenant_id     text NOT NULL,
    belief_digest bytea NOT NULL,
    times         int NOT NULL DEFAULT 1,
    withdrawn_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, belief_digest)
);

-- How far a job has come in a tenant, and which process runs it.
CREATE TABLE job_progress (
    tenant_id    text NOT NULL,
    job          text NOT NULL,
    cursor       text NOT NULL DEFAULT '',
    token        uuid,
    leased_until timestamptz,
    finished_at  timestamptz,
    PRIMARY KEY (tenant_id, job)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['collective_withdrawals', 'job_progress'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY worker ON %I TO memory_worker USING (tenant_id = bound_tenant())', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO memory_worker', name);
    END LOOP;
END $$;

-- When a memory was last of use, and how often.
CREATE TABLE recall_uses (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    memory_id    bigint NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    uses         int NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, user_id, memory_id),
    FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories ON DELETE CASCADE
) WITH (fillfactor = 70);
ALTER TABLE recall_uses ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY client ON recall_uses TO memory_client
    USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON recall_uses TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON recall_uses TO memory_client, memory_worker;

-- What a memory was worth before time lowered it; NULL: `importance` still says so.
ALTER TABLE memories ADD COLUMN initial_importance real CHECK (initial_importance BETWEEN 0 AND 1);

-- What promotion counts, attribute by attribute. Longer attributes are not promoted: an index row
-- has to fit a page.
CREATE INDEX memories_promotable ON memories (tenant_id, generation, attribute, user_id)
    WHERE believed_to IS NULL AND archived_at IS NULL AND subject IS NULL AND agent_id IS NULL
        AND value IS NOT NULL AND length(attribute) <= 100;
-- Names to keep out of the collective tier.
CREATE INDEX memories_subjects ON memories (tenant_id, subject) WHERE subject IS NOT NULL;
CREATE INDEX interactions_actors ON interactions (tenant_id, actor) WHERE actor IS NOT NULL;
-- Sessions to close. None of its columns changes when a session goes on, so those updates stay HOT.
CREATE INDEX sessions_open ON sessions (tenant_id, user_id, session_id) WHERE closed_at IS NULL;

-- The planner's statistics cover every user, and EXPLAIN shows what it makes of them to anyone:
-- none are kept of what users said.
ALTER TABLE memories
    ALTER COLUMN text SET STATISTICS 0,
    ALTER COLUMN attribute SET STATISTICS 0,
    ALTER COLUMN value SET STATISTICS 0,
    ALTER COLUMN subject SET STATISTICS 0,
    ALTER COLUMN context SET STATISTICS 0;
ALTER TABLE evidence ALTER COLUMN quote SET STATISTICS 0;
ALTER TABLE interactions
    ALTER COLUMN content SET STATISTICS 0,
    ALTER COLUMN actor SET STATISTICS 0;
ALTER TABLE sessions ALTER COLUMN summary SET STATISTICS 0;

-- A value as users are counted by it.
CREATE FUNCTION collective_value(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lower(btrim(value));

-- What makes two users' memories the same belief.
CREATE FUNCTION collective_key(kind text, attribute text, value text, context text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substring(
        sha256(convert_to(jsonb_build_array(kind, attribute, value, context)::text, 'UTF8')) FOR 16);

-- The least number of supporters of anything in the bound tenant's collective tier.
CREATE FUNCTION collective_k() RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
    RETURN GREATEST(2, COALESCE(
        (SELECT (policy->>'k')::int FROM tenants WHERE tenant_id = bound_tenant()), 5));

-- How far the bound tenant's thresholds may move up.
CREATE FUNCTION collective_spread() RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
    RETURN GREATEST(0, COALESCE(
        (SELECT (policy->>'jitter')::int FROM tenants WHERE tenant_id = bound_tenant()), 2));

-- The name of a belief that only the bound tenant's secret can make.
CREATE FUNCTION collective_digest(belief_key bytea) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
    RETURN (SELECT sha256(secret || belief_key) FROM tenants WHERE tenant_id = bound_tenant());

-- By how much a threshold of a belief is moved: evenly from 0 to the tenant's spread, the same
-- until the belief is withdrawn, then drawn afresh.
CREATE FUNCTION collective_jitter(belief_key bytea, threshold text) RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
    RETURN (
        SELECT (get_byte(d.draw, 0) * 256 + get_byte(d.draw, 1)) % (collective_spread() + 1)
        FROM tenants t
        LEFT JOIN collective_withdrawals w ON w.tenant_id = t.tenant_id
            AND w.belief_digest = sha256(t.secret || belief_key)
        CROSS JOIN LATERAL (
            SELECT sha256(t.secret || belief_key
                || convert_to(concat_ws(' ', threshold, COALESCE(w.times, 0)), 'UTF8')) AS draw
        ) d
        WHERE t.tenant_id = bound_tenant());

-- The count to publish: the greatest step that `supporters` reach, by more than a secret margin for
-- a step not yet published. NULL: not to be published at all.
CREATE FUNCTION collective_step(belief_key bytea, supporters bigint, published int) RETURNS int
    LANGUAGE sql STABLE
    SET search_path = memory, pg_temp
    RETURN (
        SELECT max(step)
        FROM unnest(collective_k() || ARRAY[10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000])
            AS step
        WHERE step >= collective_k()
            AND step + CASE WHEN step <= published THEN 0
                            ELSE collective_jitter(belief_key, 'step ' || step) END <= supporters);

-- Takes back what the bound user supported and holds no more, and withdraws what then falls under
-- k, in the caller's transaction. Where nothing is left of the user, every belief at the brink goes
-- too, supported by this user or not: who watches somebody leave sees the same in both cases.
CREATE FUNCTION withdraw_support() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$
DECLARE
    k      int := collective_k();
    brink  int := collective_k() + collective_spread();
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
                    AND m.generation = c.generation AND m.kind = c.kind
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

-- Removes collective memories for good and remembers when, without remembering what.
CREATE FUNCTION withdraw_collective(memories bigint[]) RETURNS bigint
    LANGUAGE sql
    SET search_path = memory, pg_temp
BEGIN ATOMIC
    INSERT INTO collective_withdrawals AS w (tenant_id, belief_digest)
    SELECT c.tenant_id, collective_digest(c.belief_key) FROM collective_memories c
    WHERE c.tenant_id = bound_tenant() AND c.memory_id = ANY(memories)
    ON CONFLICT (tenant_id, belief_digest)
        DO UPDATE SET times = LEAST(w.times + 1, 12), withdrawn_at = now();
    WITH gone AS (
        DELETE FROM collective_memories c
        WHERE c.tenant_id = bound_tenant() AND c.memory_id = ANY(memories)
        RETURNING c.memory_id
    )
    SELECT count(*) FROM gone;
END;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'collective_k()', 'collective_spread()', 'collective_digest(bytea)',
        'collective_jitter(bytea, text)', 'collective_step(bytea, bigint, int)',
        'withdraw_support()', 'withdraw_collective(bigint[])'
    ] LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO memory_worker', name);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION withdraw_support() TO memory_client;
-- It runs as the worker, so row-level security holds it to the bound tenant. An owner needs CREATE
-- on the schema for as long as it is made the owner.
GRANT CREATE ON SCHEMA memory TO memory_worker;
ALTER FUNCTION withdraw_support() OWNER TO memory_worker;
REVOKE CREATE ON SCHEMA memory FROM memory_worker;
