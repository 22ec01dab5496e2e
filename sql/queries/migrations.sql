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
-- One migration run at a time in this database; held until the transaction ends.
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

-- search_path --
-- Lets a migration name its tables plainly; ends with its transaction.
-- unscoped: touches no table
SELECT set_config('search_path', 'memory, public', true)
