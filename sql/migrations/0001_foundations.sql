-- Roles, schema and the tables that belong to no tenant.
--
-- memory_client: what apps act as. It sees one user of one tenant at a time, the one bound to the
--     transaction by memory.tenant_id and memory.user_id, and without a binding nothing at all.
-- memory_worker: what extraction and the operators' jobs act as. It leases users of every tenant
--     and otherwise sees the one tenant that is bound.
-- Both are roles to SET ROLE to; who may do so is the operator's grant.

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

-- An unset setting reads as NULL, and as '' once a transaction has set it: neither is a tenant.
CREATE FUNCTION bound_tenant() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('memory.tenant_id', true), '');

CREATE FUNCTION bound_user() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('memory.user_id', true), '');

-- What can make vectors, and which one recall reads. Vectors of two embedders are never compared.
CREATE TABLE embedders (
    embedder_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    dimensions  int NOT NULL CHECK (dimensions > 0),
    state       text NOT NULL DEFAULT 'live' CHECK (state IN ('building', 'live', 'retired')),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX embedders_one_live ON embedders (state) WHERE state = 'live';

-- All memories made by one set of extractor versions.
CREATE TABLE generations (
    generation smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name <> ''),
    state      text NOT NULL CHECK (state IN ('shadow', 'live', 'retired')),
    extractors jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX generations_one_live ON generations (state) WHERE state = 'live';
INSERT INTO generations (name, state) VALUES ('first', 'live');

GRANT SELECT ON embedders, generations TO memory_client;
GRANT SELECT, INSERT, UPDATE ON embedders, generations TO memory_worker;

-- The one way a client adds an embedder: as the first one of an empty store.
CREATE FUNCTION register_embedder(name text, dimensions int) RETURNS smallint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = memory, pg_temp
BEGIN ATOMIC
    INSERT INTO embedders (name, dimensions)
    SELECT register_embedder.name, register_embedder.dimensions
    WHERE NOT EXISTS (SELECT FROM embedders e WHERE e.state = 'live')
    ON CONFLICT DO NOTHING;
    SELECT e.embedder_id FROM embedders e
    WHERE e.name = register_embedder.name AND e.dimensions = register_embedder.dimensions
        AND e.state = 'live';
END;
REVOKE EXECUTE ON FUNCTION register_embedder FROM PUBLIC;
GRANT EXECUTE ON FUNCTION register_embedder TO memory_client, memory_worker;
