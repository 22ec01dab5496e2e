-- Which store this is: two that read one topic must not share a consumer group.

CREATE TABLE store_identity (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    identity uuid NOT NULL DEFAULT gen_random_uuid(),
    made_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE store_identity IS
    'The one row that tells this store from others. A copy of the database has the same identity, '
    'so consumer groups are named by it and by store_place().';
COMMENT ON COLUMN store_identity.only_row IS 'Always true: there is one row.';
INSERT INTO store_identity DEFAULT VALUES;
GRANT SELECT ON store_identity TO memory_client;
GRANT SELECT, UPDATE ON store_identity TO memory_worker;

CREATE FUNCTION store_place() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    database text := (SELECT oid::text FROM pg_database WHERE datname = current_database());
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system()) || '/' || database;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN '/' || database;
END
$$;
COMMENT ON FUNCTION store_place IS
    'Where the store lies: the cluster and the database in it. A dump restored elsewhere has another '
    'place; a physical copy of the cluster has the same one. In the database because only a function '
    'can go on where the server refuses the cluster''s number: the place then names no cluster.';
REVOKE ALL ON FUNCTION store_place FROM PUBLIC;
GRANT EXECUTE ON FUNCTION store_place TO memory_client, memory_worker;
