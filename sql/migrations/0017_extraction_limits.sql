-- Which tenants extraction holds back, and whose turn it is among the others.

CREATE TABLE extraction_limits (
    tenant_id             text PRIMARY KEY CHECK (tenant_id <> ''),
    paused_at             timestamptz,
    users_a_minute        int CHECK (users_a_minute > 0),
    interactions_a_minute int CHECK (interactions_a_minute > 0),
    free_at               timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE extraction_limits IS
    'Tenants whose extraction an operator paused or throttled. No row: neither.';
COMMENT ON COLUMN extraction_limits.paused_at IS 'None of its users is leased since then.';
COMMENT ON COLUMN extraction_limits.users_a_minute IS 'NULL: any number.';
COMMENT ON COLUMN extraction_limits.interactions_a_minute IS
    'Of those that wait when a user is leased; NULL: any number.';
COMMENT ON COLUMN extraction_limits.free_at IS
    'The next user of a throttled tenant is leased from then on.';
CALL protect_tenant_table('extraction_limits');
-- Whoever leases users looks at every tenant, and spends from what a throttled one may have.
CREATE POLICY leasing ON extraction_limits FOR SELECT TO memory_worker
    USING (bound_tenant() IS NULL);
CREATE POLICY spending ON extraction_limits FOR UPDATE TO memory_worker
    USING (bound_tenant() IS NULL);

CREATE INDEX users_turns ON users (backfill, tenant_id, due_at) WHERE due_at IS NOT NULL;
COMMENT ON INDEX users_turns IS
    'The tenants with due users, and within each of them who has waited longest.';

-- How many sessions wait for an operator is asked of all tenants at once.
CREATE INDEX session_progress_set_aside ON session_progress (tenant_id, set_aside_at)
    WHERE set_aside_at IS NOT NULL;
CREATE POLICY counting ON session_progress FOR SELECT TO memory_worker
    USING (bound_tenant() IS NULL AND set_aside_at IS NOT NULL);
