-- The role that reads the whole store and changes nothing, for pg_dump and for the digests that
-- compare a store with its backup. Row-level security binds the owner as well, and a managed server
-- has no superuser to hand out.

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'memory_backup') THEN
        RETURN;
    END IF;
    CREATE ROLE memory_backup NOLOGIN;
    IF NOT pg_has_role(current_user, 'memory_backup', 'SET') THEN
        -- Without INHERIT the owner sees every row only after SET ROLE, never by accident.
        EXECUTE format('GRANT memory_backup TO %I WITH INHERIT FALSE, SET TRUE', current_user);
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE =
            'an administrator has to run: CREATE ROLE memory_backup NOLOGIN';
END $$;

GRANT USAGE ON SCHEMA memory TO memory_backup;
GRANT SELECT ON ALL TABLES IN SCHEMA memory TO memory_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA memory TO memory_backup;

CREATE OR REPLACE PROCEDURE let_backup_read(name regclass)
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('CREATE POLICY backup ON %s FOR SELECT TO memory_backup USING (true)', name);
    EXECUTE format('GRANT SELECT ON %s TO memory_backup', name);
END $$;
REVOKE EXECUTE ON PROCEDURE let_backup_read FROM PUBLIC;
COMMENT ON PROCEDURE let_backup_read(regclass) IS
    'Lets backups see every row of a table with row-level security: what no policy shows them '
    'would be missing in a dump, without an error. In the database because every migration that '
    'makes such a table calls it.';

DO $$
DECLARE name regclass;
BEGIN
    FOR name IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r' AND relrowsecurity
    LOOP
        CALL let_backup_read(name);
    END LOOP;
END $$;

CREATE OR REPLACE PROCEDURE protect_user_table(name regclass)
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY client ON %s TO memory_client
             USING (tenant_id = bound_tenant() AND user_id = bound_user())', name);
    EXECUTE format(
        'CREATE POLICY worker ON %s TO memory_worker USING (tenant_id = bound_tenant())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO memory_client, memory_worker', name);
    CALL let_backup_read(name);
END $$;

CREATE OR REPLACE PROCEDURE protect_tenant_table(name regclass)
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY worker ON %s TO memory_worker USING (tenant_id = bound_tenant())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO memory_worker', name);
    CALL let_backup_read(name);
END $$;

CREATE OR REPLACE FUNCTION table_digest(
    name regclass, without text[], OUT row_count bigint, OUT digest text)
    LANGUAGE plpgsql STABLE
    SET search_path = memory, pg_temp
    SET timezone = 'UTC'
    SET extra_float_digits = 1
    SET bytea_output = 'hex'
    SET intervalstyle = 'iso_8601'
AS $$
BEGIN
    EXECUTE format($digest$
        SELECT count(*), encode(sha256(convert_to(concat_ws(' ',
            count(*),
            sum(('x' || substr(hash, 1, 16))::bit(64)::bigint),
            sum(('x' || substr(hash, 17, 16))::bit(64)::bigint)), 'UTF8')), 'hex')
        FROM (
            SELECT encode(sha256(convert_to((to_jsonb(one) - $1)::text, 'UTF8')), 'hex') AS hash
            FROM %s one
        ) hashed $digest$, name)
    INTO row_count, digest USING without;
END $$;
REVOKE EXECUTE ON FUNCTION table_digest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION table_digest TO memory_backup;
COMMENT ON FUNCTION table_digest(regclass, text[]) IS
    'How many rows a table has, and a digest of them without some columns: the sums of two halves '
    'of each row''s SHA-256. Rows are read once, in any order, and columns count by their names, so '
    'that neither a collation nor the way to a schema makes a difference, and no memory grows with '
    'the table. In the database because it reads tables that it is given by name, and because the '
    'rows need not travel.';
