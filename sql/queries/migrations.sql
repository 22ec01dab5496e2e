-- create_schema --
-- The schema all tables live in.
-- unscoped: the schema belongs to no tenant
CREATE SCHEMA IF NOT EXISTS memory

-- create_ledger --
-- The record of applied migrations.
-- unscoped: the schema belongs to no tenant
CREATE TABLE IF NOT EXISTS memory.schema_migrations (
    version    int PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- lock --
-- One migration run at a time in this database; held until the transaction ends. Apps read the
-- ledger, and can neither hold this lock nor wait for it.
-- unscoped: the schema belongs to no tenant
LOCK TABLE memory.schema_migrations IN SHARE ROW EXCLUSIVE MODE

-- first_lock --
-- As `lock`, while there is no ledger; anybody who may connect could hold it.
-- unscoped: a lock is no table
SELECT pg_advisory_xact_lock(7331, 1)

-- ledger_exists --
-- Whether this database was ever migrated.
-- unscoped: the catalogue belongs to no tenant
SELECT to_regclass('memory.schema_migrations') IS NOT NULL AS present

-- applied --
-- The applied migrations, oldest first.
-- unscoped: the schema belongs to no tenant
SELECT version, name, sha256 FROM memory.schema_migrations ORDER BY version

-- record --
-- Records a migration; commits with it.
-- unscoped: the schema belongs to no tenant
INSERT INTO memory.schema_migrations (version, name, sha256)
VALUES (%(version)s, %(name)s, %(sha256)s)

-- clear --
-- Empties the record, for a store that gets that of the baseline; commits with it.
-- unscoped: the schema belongs to no tenant
DELETE FROM memory.schema_migrations

-- server --
-- The server's version number, and whether pgvector is installed or available.
-- unscoped: the catalogue belongs to no tenant
SELECT current_setting('server_version_num')::int AS version,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')
           AS vector_available

-- create_vector --
-- Installs pgvector; the caller holds the migration lock, so two first uses do not race.
-- unscoped: an extension belongs to no tenant
CREATE EXTENSION IF NOT EXISTS vector

-- roles --
-- Which of the store's roles this server has.
-- unscoped: roles belong to no tenant
SELECT rolname AS name FROM pg_roles
WHERE rolname IN ('memory_client', 'memory_worker', 'memory_backup', 'memory_tenant_login')

-- administrators_part --
-- What the login role may not do itself of all that migrating takes: statements for an administrator
-- of the server, in their order; no row if it may do everything. The owner need not be
-- a member of memory_backup or memory_tenant_login.
-- unscoped: the catalogue belongs to no tenant
WITH login AS (
    SELECT rolsuper, rolinherit, rolsuper OR rolcreaterole AS creates,
        has_database_privilege(current_database(), 'CREATE') AS extends
    FROM pg_roles WHERE rolname = current_user
), roles AS (
    SELECT n.name, r.oid
    FROM unnest(ARRAY['memory_backup', 'memory_client', 'memory_tenant_login', 'memory_worker'])
        AS n(name)
    LEFT JOIN pg_roles r ON r.rolname = n.name
), needed AS (
    SELECT 1 AS nth, format('CREATE ROLE %%I NOLOGIN;', name) AS statement FROM roles, login
    WHERE oid IS NULL AND NOT creates
    UNION ALL
    SELECT 2, format('GRANT %%I TO %%I%%s;', name, current_user,
        CASE WHEN NOT rolinherit OR pg_has_role(oid, 'SET') THEN ' WITH INHERIT TRUE' END)
    FROM roles, login
    WHERE name NOT IN ('memory_backup', 'memory_tenant_login') AND NOT CASE
        WHEN oid IS NULL THEN creates
        WHEN pg_has_role(oid, 'SET') THEN pg_has_role(oid, 'USAGE')
        ELSE pg_has_role(oid, 'USAGE WITH ADMIN OPTION') END
    UNION ALL
    SELECT 3, 'CREATE EXTENSION vector;' FROM login
    WHERE NOT rolsuper AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')
        AND NOT (extends AND EXISTS (
            SELECT FROM pg_available_extension_versions v JOIN pg_available_extensions e USING (name)
            WHERE name = 'vector' AND v.version = e.default_version AND v.trusted))
    UNION ALL
    SELECT 4, format('GRANT CREATE ON DATABASE %%I TO %%I;', current_database(), current_user)
    FROM login WHERE NOT extends AND to_regnamespace('memory') IS NULL
)
SELECT statement FROM needed ORDER BY nth, statement

-- bind_login --
-- Binds a login to a tenant; see the procedure.
-- unscoped: whose login it is, which is the owner's to say
CALL memory.bind_login(%(login)s::name, %(tenant)s)

-- unbind_login --
-- Leaves a login bound to no tenant, so that it sees nothing; a row if it was bound to this one.
-- unscoped: whose login it is, which is the owner's to say
DELETE FROM memory.tenant_logins WHERE login = %(login)s::name AND tenant_id = %(tenant)s
RETURNING login

-- logins --
-- The logins that are one tenant's.
-- unscoped: every tenant's, for the owner
SELECT login::text AS login, tenant_id FROM memory.tenant_logins ORDER BY tenant_id, login

-- search_path --
-- Lets a migration name its tables plainly; ends with its transaction.
-- unscoped: touches no table
SELECT set_config('search_path', 'memory, public', true)
