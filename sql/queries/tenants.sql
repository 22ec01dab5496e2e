-- list --
-- Lists the bound tenant, unless it is; a row if it was not.
-- unscoped: a tenant's row, which is no user's
INSERT INTO tenant_admissions AS a (tenant_id, listed_at)
VALUES (%(tenant)s, now())
ON CONFLICT (tenant_id) DO UPDATE SET listed_at = now() WHERE a.listed_at IS NULL
RETURNING tenant_id

-- suspend --
-- Suspends the bound tenant, unless it is; a row if it was not.
-- unscoped: a tenant's row, which is no user's
INSERT INTO tenant_admissions AS a (tenant_id, suspended_at)
VALUES (%(tenant)s, now())
ON CONFLICT (tenant_id) DO UPDATE SET suspended_at = now() WHERE a.suspended_at IS NULL
RETURNING tenant_id

-- serve --
-- Ends the suspension of the bound tenant; a row if there was one.
-- unscoped: a tenant's row, which is no user's
UPDATE tenant_admissions SET suspended_at = NULL
WHERE tenant_id = %(tenant)s AND suspended_at IS NOT NULL
RETURNING tenant_id

-- set_quota --
-- Replaces the quotas of the bound tenant; NULL: any number.
-- unscoped: a tenant's row, which is no user's
INSERT INTO tenant_admissions AS a (tenant_id, interactions_a_day, bytes_stored, model_tokens_a_day)
VALUES (%(tenant)s, %(interactions)s::bigint, %(bytes)s::bigint, %(tokens)s::bigint)
ON CONFLICT (tenant_id) DO UPDATE
    SET interactions_a_day = excluded.interactions_a_day, bytes_stored = excluded.bytes_stored,
        model_tokens_a_day = excluded.model_tokens_a_day, checked_until = NULL

-- require_listed --
-- Sets whether the store serves listed tenants only.
-- unscoped: the store belongs to no tenant
UPDATE store_settings SET listed_only = %(on)s

-- unlisted --
-- How many tenants have users and are not listed.
-- unscoped: the operator's view over every tenant; counts only
SELECT count(DISTINCT u.tenant_id) AS tenants FROM users u
WHERE NOT EXISTS (SELECT FROM tenant_admissions a
                  WHERE a.tenant_id = u.tenant_id AND a.listed_at IS NOT NULL)

-- show --
-- What an operator has set for the bound tenant, and whether the store serves listed tenants only.
-- unscoped: a tenant's rows, which are no user's
SELECT s.listed_only, a.listed_at, a.suspended_at, a.interactions_a_day, a.bytes_stored,
    a.model_tokens_a_day, l.paused_at, l.users_a_minute, l.interactions_a_minute,
    (SELECT count(*) FROM users WHERE tenant_id = %(tenant)s) AS users
FROM store_settings s
LEFT JOIN tenant_admissions a ON a.tenant_id = %(tenant)s
LEFT JOIN extraction_limits l ON l.tenant_id = %(tenant)s

-- unmeasured --
-- Locks some of the bound tenant's users whose interactions nobody has measured.
-- unscoped: goes through the users of a tenant
SELECT user_id FROM users
WHERE tenant_id = %(tenant)s AND bytes IS NULL
ORDER BY user_id LIMIT %(limit)s
FOR UPDATE

-- measure --
-- Measures the interactions of users that are locked.
-- unscoped: goes through the users of a tenant
UPDATE users u SET bytes = (
    SELECT COALESCE(sum(interaction_bytes(i.content, i.payload)), 0) FROM interactions i
    WHERE i.tenant_id = u.tenant_id AND i.user_id = u.user_id)
WHERE u.tenant_id = %(tenant)s AND u.user_id = ANY(%(users)s)

-- count --
-- Counts what the bound tenant has used, unless it was counted within `fresh` seconds.
-- unscoped: the function counts within the binding
SELECT count_usage(%(tenant)s, true)
WHERE NOT EXISTS (
    SELECT FROM tenant_usage
    WHERE tenant_id = %(tenant)s AND day = (now() AT TIME ZONE 'UTC')::date
        AND memories IS NOT NULL AND counted_at > now() - make_interval(secs => %(fresh)s))

-- usage --
-- What the bound tenant used on each of some days, first and last included.
-- unscoped: a tenant's rows, which are no user's
SELECT day, COALESCE(c.interactions, 0) AS interactions, c.bytes, c.memories,
    COALESCE(m.model_tokens, 0)::bigint AS model_tokens
FROM (
    SELECT day, interactions, bytes, memories FROM tenant_usage WHERE tenant_id = %(tenant)s
) c
FULL JOIN (
    SELECT day, sum(input_tokens + output_tokens) AS model_tokens FROM model_spend
    WHERE tenant_id = %(tenant)s GROUP BY day
) m USING (day)
WHERE (%(first)s::date IS NULL OR day >= %(first)s) AND (%(last)s::date IS NULL OR day <= %(last)s)
ORDER BY day
