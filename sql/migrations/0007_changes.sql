-- The change stream: what became of memories, kept by the transaction that did it until it is
-- published.

CREATE TABLE change_stream (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    enabled_at   timestamptz,
    lease_token  uuid,
    leased_until timestamptz
);
COMMENT ON TABLE change_stream IS
    'Whether changes are kept, and which process publishes them. It has one row.';
COMMENT ON COLUMN change_stream.enabled_at IS
    'NULL: changes are not kept, since what nobody publishes would grow for ever.';
INSERT INTO change_stream DEFAULT VALUES;
GRANT SELECT ON change_stream TO memory_client;
GRANT SELECT, UPDATE ON change_stream TO memory_worker;

CREATE TABLE change_cursors (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    last_seq      bigint NOT NULL DEFAULT 0,
    published_seq bigint NOT NULL DEFAULT 0,
    waiting_since timestamptz,
    PRIMARY KEY (tenant_id, user_id)
);
COMMENT ON TABLE change_cursors IS
    'How many changes a user''s memories went through, and how many of them were published. A row '
    'of its own rather than the user''s, which every record() wants.';
COMMENT ON COLUMN change_cursors.waiting_since IS 'Of the oldest change that is not published.';
CREATE INDEX change_cursors_waiting ON change_cursors (waiting_since)
    WHERE waiting_since IS NOT NULL;
CALL protect_user_table('change_cursors');
-- A publisher that is bound to nothing sees whose changes wait, and nothing of what they say.
CREATE POLICY publishing ON change_cursors FOR SELECT TO memory_worker
    USING (bound_tenant() IS NULL);

CREATE TABLE changes (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    seq            bigint NOT NULL,
    change         text NOT NULL CHECK (change IN (
                       'reset', 'added', 'reinforced', 'superseded', 'withdrawn', 'forgotten')),
    memory_id      bigint,
    generation     smallint NOT NULL,
    successor      bigint,
    memory         jsonb,
    changed_at     timestamptz NOT NULL DEFAULT now(),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant_id, user_id, seq)
);
COMMENT ON TABLE changes IS 'The changes that wait to be published, each user''s in order.';
COMMENT ON COLUMN changes.seq IS '1, 2, 3 … of the user, without gaps.';
COMMENT ON COLUMN changes.memory_id IS 'NULL: the change is of no single memory.';
COMMENT ON COLUMN changes.successor IS 'The memory that took its place.';
COMMENT ON COLUMN changes.memory IS 'The memory as it is now; NULL where it is gone.';
COMMENT ON COLUMN changes.transaction_id IS
    'The transaction that made the change: a later statement of it may say better what it was.';
CREATE INDEX changes_memory ON changes (tenant_id, user_id, memory_id);
ALTER TABLE changes ALTER COLUMN memory SET STATISTICS 0;
CALL protect_user_table('changes');
