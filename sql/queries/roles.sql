-- found --
-- What a role is already; no row: there is none of the name.
-- unscoped: the catalogue belongs to no tenant
SELECT r.rolcanlogin AS logs_in, r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication
        AS privileged,
    EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'memory' AND pg_has_role(r.oid, n.nspowner, 'MEMBER'))
        AS owns,
    ARRAY(SELECT g.rolname::text FROM pg_roles g
          WHERE g.rolname IN ('memory_client', 'memory_worker', 'memory_backup')
              AND pg_has_role(r.oid, g.oid, 'MEMBER')) AS acts_as
FROM pg_roles r WHERE r.rolname = %(name)s::text

-- statements --
-- What makes a login that may act as a role and as nothing else; no row: it is there. A password is
-- set where one is given, which should be a SCRAM verifier: servers log statements.
-- unscoped: roles belong to no tenant
WITH login AS (
    SELECT n.name, r.oid FROM (SELECT %(name)s::text AS name) n
    LEFT JOIN pg_roles r ON r.rolname = n.name
)
SELECT 1 AS nth, format('CREATE ROLE %%I LOGIN', name)
    || CASE WHEN %(password)s::text IS NULL THEN '' ELSE format(' PASSWORD %%L', %(password)s::text) END
    AS statement
FROM login WHERE oid IS NULL
UNION ALL
SELECT 2, format('ALTER ROLE %%I PASSWORD %%L', name, %(password)s::text)
FROM login WHERE oid IS NOT NULL AND %(password)s::text IS NOT NULL
UNION ALL
SELECT 3, format('GRANT %%I TO %%I', %(role)s::text, name)
FROM login WHERE oid IS NULL OR NOT pg_has_role(oid, %(role)s::text::regrole, 'MEMBER')
ORDER BY nth

-- list --
-- Every login that may act as a role of the store, and what else it may do.
-- unscoped: the catalogue belongs to no tenant
SELECT r.rolname::text AS name, r.rolsuper AS superuser,
    EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'memory' AND n.nspowner = r.oid) AS owner,
    ARRAY(SELECT g.rolname::text FROM pg_roles g
          WHERE g.rolname IN ('memory_client', 'memory_worker', 'memory_backup')
              AND pg_has_role(r.oid, g.oid, 'MEMBER') ORDER BY 1) AS acts_as
FROM pg_roles r
WHERE r.rolcanlogin AND EXISTS (
    SELECT FROM pg_roles g WHERE g.rolname IN ('memory_client', 'memory_worker', 'memory_backup')
        AND pg_has_role(r.oid, g.oid, 'MEMBER'))
ORDER BY r.rolname
