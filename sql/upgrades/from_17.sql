-- From the first 17 of the 21 migrations before the baseline to what all 21 made, but for their
-- functions, which `from_21.sql` replaces. Postgres 17.12 stopped there: it refuses to add a column
-- with a default to a table whose row type a function with a SQL-standard body takes.

DROP FUNCTION leasable_at;
ALTER TABLE users ADD COLUMN lost_leases int NOT NULL DEFAULT 0;
ALTER TABLE progress ADD COLUMN unheard int NOT NULL DEFAULT 0;

CREATE TABLE collective_blocks (
    tenant_id text NOT NULL,
    block     bigint NOT NULL,
    members   int NOT NULL,
    total     bigint NOT NULL,
    words     int[] STORAGE MAIN NOT NULL,
    postings  tsvector STORAGE EXTERNAL,
    PRIMARY KEY (tenant_id, block)
);
ALTER TABLE collective_blocks
    ALTER COLUMN words SET STATISTICS 0,
    ALTER COLUMN postings SET STATISTICS 0;
ALTER TABLE collective_blocks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY client ON collective_blocks FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_blocks TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_blocks TO memory_client;
GRANT SELECT, INSERT, UPDATE, DELETE ON collective_blocks TO memory_worker;
