-- The two roles that everything acts as, and what both may see of the schema itself. Both are roles
-- to SET ROLE to; the operator grants who may do so.

DO $$ BEGIN
    CREATE ROLE memory_client NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

DO $$ BEGIN
    CREATE ROLE memory_worker NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'memory_client', 'SET')
        OR NOT pg_has_role(current_user, 'memory_worker', 'SET') THEN
        EXECUTE format('GRANT memory_client, memory_worker TO %I', current_user);
    END IF;
END $$;

GRANT USAGE ON SCHEMA memory TO memory_client, memory_worker;
GRANT SELECT ON schema_migrations TO memory_client, memory_worker;

COMMENT ON SCHEMA memory IS
    'All that Experiential Memory keeps. Apps act as memory_client, which sees one user of one '
    'tenant at a time: the user that memory.tenant_id and memory.user_id bind to the transaction, '
    'and nothing without a binding. Extraction and the operators'' jobs act as memory_worker, '
    'which leases users of every tenant and otherwise sees the one tenant that is bound.';
COMMENT ON TABLE schema_migrations IS 'The migrations that were applied to this database.';
COMMENT ON COLUMN schema_migrations.sha256 IS
    'Of the migration''s file; a file that was applied never changes.';
