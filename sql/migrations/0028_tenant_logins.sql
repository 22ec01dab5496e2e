-- A login of the server can be one tenant's: whatever its sessions say, they are bound to that tenant.

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'memory_tenant_login') THEN
        RETURN;
    END IF;
    CREATE ROLE memory_tenant_login NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE =
            'an administrator has to run: CREATE ROLE memory_tenant_login NOLOGIN';
END $$;

CREATE TABLE tenant_logins (
    login     name PRIMARY KEY,
    tenant_id text NOT NULL CHECK (tenant_id <> '')
);
COMMENT ON TABLE tenant_logins IS
    'The logins that are one tenant''s. Only the owner of the schema reads and writes it.';
GRANT SELECT ON tenant_logins TO memory_backup;

CREATE FUNCTION tenant_of_login() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
    SET search_path = memory, pg_temp
AS $$ BEGIN
    RETURN (SELECT tenant_id FROM tenant_logins WHERE login = session_user);
END $$;
COMMENT ON FUNCTION tenant_of_login() IS
    'The tenant of the session''s login; NULL: it is of none. In the database because bound_tenant '
    'calls it; it runs as its owner, since nobody else may read whose login is whose.';

CREATE OR REPLACE FUNCTION bound_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN pg_catalog.pg_has_role(session_user, 'memory_tenant_login', 'MEMBER')
            AND NOT pg_catalog.pg_has_role(session_user, 'memory_worker', 'MEMBER')
        THEN memory.tenant_of_login()
        ELSE NULLIF(pg_catalog.current_setting('memory.tenant_id', true), '') END
$$;
COMMENT ON FUNCTION bound_tenant() IS
    'The tenant that the transaction is bound to. A login that is one tenant''s is bound to it, or '
    'to none if nobody said to which; nothing that a session does changes that. For other logins a '
    'setting says it: unset it reads as NULL, and as an empty string once a transaction has set it, '
    'and neither is a tenant. A superuser is a member of every role, so the worker''s role tells '
    'it from such a login. In the database because row-level security calls it.';

CREATE FUNCTION refuse_tenant(asked text) RETURNS text
    LANGUAGE plpgsql STABLE
AS $$ BEGIN
    RAISE EXCEPTION USING ERRCODE = 'EM004', MESSAGE = format(
        'the login %I is bound to %s, and the call names tenant %L', session_user,
        COALESCE('tenant ' || quote_literal(memory.bound_tenant()), 'no tenant'), asked);
END $$;
COMMENT ON FUNCTION refuse_tenant(text) IS
    'Says that the session''s login is not this tenant''s. In the database because the binding '
    'calls it: an empty answer would look like a tenant without memories.';

CREATE PROCEDURE bind_login(named name, tenant text)
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
DECLARE
    found pg_roles := (SELECT r FROM pg_roles r WHERE rolname = named);
BEGIN
    IF found.oid IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('the server has no login %I', named);
    END IF;
    IF found.rolsuper OR found.rolbypassrls OR pg_has_role(named, 'memory_worker', 'MEMBER')
        OR pg_has_role(named, 'memory_backup', 'MEMBER')
        OR pg_has_role(named, (SELECT nspowner FROM pg_namespace WHERE nspname = 'memory'), 'MEMBER')
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'the login %I may act as a superuser, the owner, a worker or a backup, which see every '
            'tenant; name one that may not', named);
    END IF;
    BEGIN
        IF NOT pg_has_role('memory_tenant_login', 'memory_client', 'USAGE') THEN
            GRANT memory_client TO memory_tenant_login;
        END IF;
        IF NOT pg_has_role(named, 'memory_tenant_login', 'USAGE') THEN
            EXECUTE format('GRANT memory_tenant_login TO %I WITH INHERIT TRUE', named);
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'an administrator has to run: GRANT memory_client TO memory_tenant_login; '
            'GRANT memory_tenant_login TO %I WITH INHERIT TRUE;', named);
    END;
    INSERT INTO tenant_logins AS l (login, tenant_id) VALUES (named, tenant)
    ON CONFLICT (login) DO UPDATE SET tenant_id = excluded.tenant_id;
END $$;
REVOKE EXECUTE ON PROCEDURE bind_login FROM PUBLIC;
COMMENT ON PROCEDURE bind_login(name, text) IS
    'Binds a login to a tenant for good: it acts as a client, and sees no other tenant. In the '
    'database because a GRANT takes no parameters.';

CALL secure_tables();
