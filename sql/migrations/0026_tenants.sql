-- Which tenants the store serves, how much each may take, and what each has used.

CREATE TABLE store_settings (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    listed_only boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE store_settings IS 'What an operator has set for the whole store: one row.';
COMMENT ON COLUMN store_settings.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN store_settings.listed_only IS 'Tenants that nobody has listed are refused.';
INSERT INTO store_settings DEFAULT VALUES;
GRANT SELECT ON store_settings TO memory_client, memory_backup;
GRANT SELECT, UPDATE ON store_settings TO memory_worker;

CREATE TABLE tenant_admissions (
    tenant_id          text PRIMARY KEY CHECK (tenant_id <> ''),
    listed_at          timestamptz,
    suspended_at       timestamptz,
    interactions_a_day bigint CHECK (interactions_a_day >= 0),
    bytes_stored       bigint CHECK (bytes_stored >= 0),
    model_tokens_a_day bigint CHECK (model_tokens_a_day >= 0),
    checked_until      timestamptz
);
COMMENT ON TABLE tenant_admissions IS
    'Tenants that an operator listed, suspended or gave a quota. No row: none of these.';
COMMENT ON COLUMN tenant_admissions.listed_at IS 'NULL: refused where only listed tenants are served.';
COMMENT ON COLUMN tenant_admissions.suspended_at IS
    'Nothing of it is read or written since then, and none of its users is leased.';
COMMENT ON COLUMN tenant_admissions.interactions_a_day IS
    'The quota of interactions recorded in a day in UTC; NULL: any number.';
COMMENT ON COLUMN tenant_admissions.bytes_stored IS
    'The quota of users.bytes, over all its users; NULL: any number.';
COMMENT ON COLUMN tenant_admissions.model_tokens_a_day IS
    'The quota of tokens that language models read and write in a day in UTC; NULL: any number.';
COMMENT ON COLUMN tenant_admissions.checked_until IS
    'Until then nobody asks again whether a quota is used up; NULL: whoever records next does.';
CALL protect_tenant_table('tenant_admissions');
GRANT SELECT ON tenant_admissions TO memory_client;
CREATE POLICY client ON tenant_admissions FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
-- Whoever leases users or applies a batch looks at every tenant.
CREATE POLICY admitting ON tenant_admissions FOR SELECT TO memory_worker
    USING (bound_tenant() IS NULL);

CREATE TABLE tenant_usage (
    tenant_id    text NOT NULL CHECK (tenant_id <> ''),
    day          date NOT NULL,
    counted_at   timestamptz NOT NULL,
    recorded     bigint NOT NULL,
    interactions bigint NOT NULL,
    bytes        bigint NOT NULL,
    memories     bigint,
    PRIMARY KEY (tenant_id, day)
);
COMMENT ON TABLE tenant_usage IS
    'What each tenant has used, by day: what bills and quotas go by. It names no user, and stays '
    'when one is forgotten.';
COMMENT ON COLUMN tenant_usage.day IS 'In UTC.';
COMMENT ON COLUMN tenant_usage.counted_at IS 'When the day was counted last.';
COMMENT ON COLUMN tenant_usage.recorded IS
    'How many interactions were ever recorded until then, forgotten ones too.';
COMMENT ON COLUMN tenant_usage.interactions IS
    'How many of them since the last count of an earlier day.';
COMMENT ON COLUMN tenant_usage.bytes IS 'The bytes that the log held then; see users.bytes.';
COMMENT ON COLUMN tenant_usage.memories IS 'How many memories were believed then; NULL: not counted.';
CALL protect_tenant_table('tenant_usage');

ALTER TABLE users ADD COLUMN bytes bigint;
COMMENT ON COLUMN users.bytes IS
    'The size of the user''s interactions, content and payload; NULL: recorded before this was '
    'counted, and not measured yet.';

CREATE FUNCTION interaction_bytes(content text, payload jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT (octet_length(content) + octet_length(payload::text))::bigint $$;
COMMENT ON FUNCTION interaction_bytes IS
    'What an interaction counts in users.bytes. In the database because five statements count.';

CREATE FUNCTION check_tenant(for_tenant text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    asked record;
BEGIN
    SELECT s.listed_only AND a.listed_at IS NULL AS unlisted, a.suspended_at,
        num_nonnulls(a.interactions_a_day, a.bytes_stored) > 0
            AND COALESCE(a.checked_until <= now(), true) AS limited
    INTO asked
    FROM store_settings s LEFT JOIN tenant_admissions a ON a.tenant_id = for_tenant;
    IF asked.unlisted THEN
        RAISE SQLSTATE 'EM001' USING MESSAGE = format(
            'this store serves listed tenants only, and tenant %L is not listed', for_tenant);
    ELSIF asked.suspended_at IS NOT NULL THEN
        RAISE SQLSTATE 'EM002' USING MESSAGE = format(
            'tenant %L is suspended since %s UTC', for_tenant,
            to_char(asked.suspended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
    END IF;
    RETURN asked.limited;
END $$;
REVOKE EXECUTE ON FUNCTION check_tenant FROM PUBLIC;
GRANT EXECUTE ON FUNCTION check_tenant TO memory_client, memory_worker;
COMMENT ON FUNCTION check_tenant IS
    'Refuses a tenant that the store does not serve, with an SQLSTATE of its own; returns whether '
    'a quota of what it records has to be checked. In the database because the binding of every client goes '
    'through it, and append_interaction.';

CREATE FUNCTION count_usage(for_tenant text, with_memories boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    midnight timestamptz := today::timestamp AT TIME ZONE 'UTC';
    ever bigint;
    stored bigint;
    before bigint;
BEGIN
    SELECT COALESCE(sum(u.position), 0), COALESCE(sum(u.bytes), 0) INTO ever, stored
    FROM users u WHERE u.tenant_id = for_tenant;
    SELECT u.recorded INTO before FROM tenant_usage u
    WHERE u.tenant_id = for_tenant AND u.day < today ORDER BY u.day DESC LIMIT 1;
    IF before IS NULL THEN
        SELECT u.recorded - u.interactions INTO before FROM tenant_usage u
        WHERE u.tenant_id = for_tenant AND u.day = today;
    END IF;
    IF before IS NULL THEN  -- the first count of all
        SELECT ever - count(*) INTO before
        FROM users u JOIN interactions i USING (tenant_id, user_id)
        WHERE u.tenant_id = for_tenant AND u.recorded_at >= midnight AND i.recorded_at >= midnight;
    END IF;
    INSERT INTO tenant_usage AS t (tenant_id, day, counted_at, recorded, interactions, bytes,
        memories)
    VALUES (for_tenant, today, now(), ever, ever - before, stored,
        CASE WHEN with_memories THEN
            (SELECT count(*) FROM memories m
             WHERE m.tenant_id = for_tenant AND m.believed_to IS NULL) END)
    ON CONFLICT (tenant_id, day) DO UPDATE
        SET counted_at = excluded.counted_at, recorded = excluded.recorded,
            interactions = excluded.interactions, bytes = excluded.bytes,
            memories = COALESCE(excluded.memories, t.memories);
END $$;
REVOKE EXECUTE ON FUNCTION count_usage FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_usage TO memory_worker;
COMMENT ON FUNCTION count_usage IS
    'Counts what the bound tenant has used until now, into the row of the day. In the database '
    'because quota_exceeded calls it for clients, who may not read other users'' rows.';

CREATE FUNCTION quota_exceeded(for_tenant text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = memory, pg_temp
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    quota record;
    used record;
BEGIN
    SELECT a.interactions_a_day, a.bytes_stored, a.checked_until INTO quota
    FROM tenant_admissions a WHERE a.tenant_id = for_tenant;
    SELECT u.interactions, u.bytes, u.counted_at INTO used
    FROM tenant_usage u WHERE u.tenant_id = for_tenant AND u.day = today;
    IF used.interactions >= quota.interactions_a_day THEN
        RETURN format('tenant %L has recorded %s of %s interactions today; the next day begins at '
            'midnight UTC', for_tenant, used.interactions, quota.interactions_a_day);
    ELSIF used.bytes >= quota.bytes_stored THEN
        RETURN format('tenant %L stores %s of %s bytes', for_tenant, used.bytes,
            quota.bytes_stored);
    END IF;
    -- Who counts is let through, so that the count commits. The others do not wait for it.
    PERFORM FROM tenant_admissions a
    WHERE a.tenant_id = for_tenant AND a.checked_until IS NOT DISTINCT FROM quota.checked_until
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF COALESCE(used.counted_at < now() - interval '30 seconds', true) THEN
        PERFORM count_usage(for_tenant, false);
    END IF;
    UPDATE tenant_admissions a
    SET checked_until = LEAST(now() + interval '30 seconds',
        (today + 1)::timestamp AT TIME ZONE 'UTC')
    FROM tenant_usage u
    WHERE a.tenant_id = for_tenant AND u.tenant_id = for_tenant AND u.day = today
        AND (u.interactions >= a.interactions_a_day) IS NOT TRUE
        AND (u.bytes >= a.bytes_stored) IS NOT TRUE;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION quota_exceeded FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quota_exceeded TO memory_client, memory_worker;
COMMENT ON FUNCTION quota_exceeded IS
    'Which quota the bound tenant has used up, by a count at most 30 seconds old; NULL: none. In '
    'the database because a client may not read what other users have recorded; it runs as the '
    'worker.';

CREATE FUNCTION check_append(for_tenant text) RETURNS boolean
    LANGUAGE plpgsql
AS $$
DECLARE
    exceeded text;
BEGIN
    IF check_tenant(for_tenant) THEN
        exceeded := quota_exceeded(for_tenant);
        IF exceeded IS NOT NULL THEN
            RAISE SQLSTATE 'EM003' USING MESSAGE = exceeded;
        END IF;
    END IF;
    RETURN true;
END $$;
REVOKE EXECUTE ON FUNCTION check_append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION check_append TO memory_client, memory_worker;
COMMENT ON FUNCTION check_append IS
    'Refuses to append for a tenant that the store does not serve, or that has used up a quota; '
    'otherwise true. In the database because append_interaction and log.append call it.';

CREATE FUNCTION recount_stored(for_tenant text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM tenant_admissions a
               WHERE a.tenant_id = for_tenant AND a.bytes_stored IS NOT NULL) THEN
        PERFORM count_usage(for_tenant, false);
    END IF;
END $$;
REVOKE EXECUTE ON FUNCTION recount_stored FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recount_stored TO memory_client, memory_worker;
COMMENT ON FUNCTION recount_stored IS
    'Counts the bound tenant again after something was forgotten, if it has a quota of bytes. In '
    'the database because a client may not read other users'' rows; it runs as the worker.';

GRANT CREATE ON SCHEMA memory TO memory_worker;
ALTER FUNCTION quota_exceeded OWNER TO memory_worker;
ALTER FUNCTION recount_stored OWNER TO memory_worker;
REVOKE CREATE ON SCHEMA memory FROM memory_worker;

CALL secure_tables();
