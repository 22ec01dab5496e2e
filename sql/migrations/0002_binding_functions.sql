-- The binding of a transaction to a tenant and a user, and the row-level security that reads it.
--
-- No function here has a SQL-standard body (RETURN, BEGIN ATOMIC). The server stores those parsed, so
-- they hold on to the tables whose rows they take: Postgres 17.12 then refuses ADD COLUMN with a
-- default. Where no search_path is set, a body names the schema, so that it can be inlined.

CREATE OR REPLACE FUNCTION bound_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('memory.tenant_id', true), '') $$;
COMMENT ON FUNCTION bound_tenant() IS
    'The tenant that the transaction is bound to. An unset setting reads as NULL, and as an empty '
    'string once a transaction has set it: neither is a tenant. In the database because row-level '
    'security calls it.';

CREATE OR REPLACE FUNCTION bound_user() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('memory.user_id', true), '') $$;
COMMENT ON FUNCTION bound_user() IS
    'The user that the transaction is bound to; see bound_tenant. In the database because '
    'row-level security calls it.';

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
END $$;
REVOKE EXECUTE ON PROCEDURE protect_user_table FROM PUBLIC;
COMMENT ON PROCEDURE protect_user_table(regclass) IS
    'Lets the client see the rows of the bound user, and the worker those of the bound tenant. In '
    'the database because every migration that makes a table of users'' rows calls it.';

CREATE OR REPLACE PROCEDURE protect_tenant_table(name regclass)
    LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY worker ON %s TO memory_worker USING (tenant_id = bound_tenant())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO memory_worker', name);
END $$;
REVOKE EXECUTE ON PROCEDURE protect_tenant_table FROM PUBLIC;
COMMENT ON PROCEDURE protect_tenant_table(regclass) IS
    'Lets the worker see the rows of the bound tenant, and no client any. In the database because '
    'every migration that makes a table of tenants'' rows calls it.';
