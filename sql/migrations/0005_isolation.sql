-- Row-level security, forced and denying by default, in three classes.

-- User tables: the client sees the bound user of the bound tenant, the worker the bound tenant.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'users', 'sessions', 'task_state', 'interactions', 'tombstones', 'assertions', 'memories',
        'evidence', 'embeddings', 'progress', 'forgotten_beliefs'
    ] LOOP
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

-- Leasing looks for due users in every tenant and marks one as held. A worker that is bound to
-- nothing reaches this one table for it, and nothing of what they said.
CREATE POLICY leasing ON users FOR SELECT TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY holding ON users FOR UPDATE TO memory_worker USING (bound_tenant() IS NULL);

-- Tenant tables: every client of the tenant reads the collective tier; only the worker writes it,
-- and only the worker knows who supports what.
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE collective_memories ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE collective_embeddings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE collective_support ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY client ON collective_memories FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
CREATE POLICY client ON collective_embeddings FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_memories, collective_embeddings TO memory_client;

CREATE POLICY worker ON tenants TO memory_worker USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_memories TO memory_worker USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_embeddings TO memory_worker USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_support TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE
    ON tenants, collective_memories, collective_embeddings, collective_support TO memory_worker;
