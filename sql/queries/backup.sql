-- settings --
-- What the transaction needs: the definitions read alike wherever they are read, and a large table
-- takes its time.
-- unscoped: touches no table
SELECT set_config('search_path', 'memory, public', true), set_config('timezone', 'UTC', true),
       set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '0', true)

-- reader --
-- Which role reads the whole store: the login role where row-level security does not bind it, or
-- else memory_backup, if the login role may act as it.
-- unscoped: the catalogue belongs to no tenant
SELECT rolname AS login, rolsuper OR rolbypassrls AS sees_all,
       COALESCE(pg_has_role(to_regrole('memory_backup'), 'SET'), false) AS may_act,
       pg_is_in_recovery() AS standby
FROM pg_roles WHERE rolname = current_user

-- act --
-- Acts as the role of backups until the transaction ends.
-- unscoped: touches no table
SELECT set_config('role', 'memory_backup', true)

-- export --
-- The name of the snapshot, under which pg_dump reads the same rows.
-- unscoped: touches no table
SELECT pg_export_snapshot() AS snapshot

-- tables --
-- Every table of the store, and whether rows may be hidden from the current role.
-- unscoped: the catalogue belongs to no tenant
SELECT c.relname::text AS name,
       row_security_active(c.oid) AND NOT EXISTS (
           SELECT FROM pg_policy p
           WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('r', '*')
               AND pg_get_expr(p.polqual, c.oid) = 'true'
               AND EXISTS (SELECT FROM unnest(p.polroles) role WHERE pg_has_role(role, 'USAGE')))
       AS hidden
FROM pg_class c
WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY c.relname::text COLLATE "C"

-- digest --
-- How many rows a table has, and a digest of them without the columns of `without`.
-- unscoped: a backup holds the rows of all tenants
SELECT row_count AS rows, digest FROM table_digest(%(table)s::text::regclass, %(without)s::text[])

-- definitions --
-- How many definitions of each kind the schema has, and a digest of them. Without them a store
-- holds its rows and serves nobody: grants and policies are lost where a dump is restored before
-- its roles are made. NOT NULL is told with the columns, since only newer servers name it; brackets
-- are left out, since a definition that was dumped and restored has others.
-- unscoped: the catalogue belongs to no tenant
WITH relations AS (
    SELECT oid, relname, relkind, relacl, relrowsecurity, relforcerowsecurity
    FROM pg_class WHERE relnamespace = 'memory'::regnamespace
), ours (role, name) AS (
    SELECT oid, rolname FROM pg_roles
    WHERE rolname IN ('memory_client', 'memory_worker', 'memory_backup')
), found (kind, line) AS (
    SELECT 'columns', concat_ws(' ', r.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid))
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE r.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'constraints', concat_ws(' ', r.relname, c.conname, pg_get_constraintdef(c.oid))
    FROM relations r JOIN pg_constraint c ON c.conrelid = r.oid WHERE c.contype <> 'n'
    UNION ALL
    SELECT 'indexes', pg_get_indexdef(oid) FROM relations WHERE relkind = 'i'
    UNION ALL
    SELECT 'triggers', pg_get_triggerdef(t.oid)
    FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'functions', concat_ws(' ', pg_get_functiondef(p.oid), ours.name)
    FROM pg_proc p LEFT JOIN ours ON ours.role = p.proowner
    WHERE p.pronamespace = 'memory'::regnamespace
    UNION ALL
    SELECT 'policies', concat_ws(' ', tablename, policyname, permissive, roles, cmd, qual,
        with_check)
    FROM pg_policies WHERE schemaname = 'memory'
    UNION ALL
    SELECT 'row security', concat_ws(' ', relname, relforcerowsecurity)
    FROM relations WHERE relrowsecurity
    UNION ALL
    SELECT 'grants', concat_ws(' ', object, privilege_type, ours.name)
    FROM (
        SELECT 'schema', nspacl FROM pg_namespace WHERE nspname = 'memory'
        UNION ALL
        SELECT relname, relacl FROM relations
        UNION ALL
        SELECT oid::regprocedure::text, proacl FROM pg_proc
        WHERE pronamespace = 'memory'::regnamespace
    ) granted (object, acl), aclexplode(acl) JOIN ours ON ours.role = grantee
)
SELECT kind AS name, count(*) AS rows, encode(sha256(convert_to(
    string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') AS digest
FROM (SELECT kind, translate(line, '()', '') AS line FROM found) plain
GROUP BY kind ORDER BY kind COLLATE "C"
