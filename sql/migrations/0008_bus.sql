-- How far each partition of a topic was applied, and what could not be.

CREATE TABLE partition_offsets (
    cluster_id  text NOT NULL CHECK (cluster_id <> ''),
    topic_id    text NOT NULL CHECK (topic_id <> ''),
    partition   int NOT NULL CHECK (partition >= 0),
    topic       text NOT NULL,
    next_offset bigint CHECK (next_offset >= 0),
    epoch       bigint NOT NULL DEFAULT 1,
    owner       text NOT NULL,
    record_time timestamptz,
    appended    bigint NOT NULL DEFAULT 0,
    duplicates  bigint NOT NULL DEFAULT 0,
    forgotten   bigint NOT NULL DEFAULT 0,
    set_aside   bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic_id, partition)
) WITH (fillfactor = 50);  -- room for HOT updates: a row changes with every batch
COMMENT ON TABLE partition_offsets IS
    'How far each partition of a topic was applied. Postgres owns the offset: it commits with the '
    'rows it brought, and only for the owner of the epoch.';
COMMENT ON COLUMN partition_offsets.topic_id IS
    'Kafka''s own id, so that a topic made again under an old name starts anew.';
COMMENT ON COLUMN partition_offsets.next_offset IS 'To be read next; NULL: not even begun.';
COMMENT ON COLUMN partition_offsets.epoch IS
    'Each process that takes the partition over raises it.';
COMMENT ON COLUMN partition_offsets.owner IS 'The process that reads the partition.';
COMMENT ON COLUMN partition_offsets.record_time IS
    'The broker''s time of the newest record applied.';
COMMENT ON COLUMN partition_offsets.appended IS
    'How many records went into the log; duplicates, forgotten and set_aside count the others.';
GRANT SELECT ON partition_offsets TO memory_client;
GRANT SELECT, INSERT, UPDATE, DELETE ON partition_offsets TO memory_worker;

CREATE TABLE dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    cluster_id     text NOT NULL,
    topic_id       text NOT NULL,
    partition      int NOT NULL,
    record_offset  bigint NOT NULL,
    topic          text NOT NULL,
    reason         text NOT NULL CHECK (reason IN ('oversize', 'not_json', 'unknown_version',
                       'invalid', 'wrong_key', 'future', 'conflict', 'no_value', 'refused')),
    detail         text NOT NULL,
    key            bytea,
    value          bytea,
    headers        jsonb NOT NULL DEFAULT '[]',
    tenant_id      text,
    user_id        text,
    session_id     text,
    interaction_id text,
    record_time    timestamptz,
    set_aside_at   timestamptz NOT NULL DEFAULT now(),
    sent_at        timestamptz,
    redriven_at    timestamptz,
    PRIMARY KEY (cluster_id, topic_id, partition, record_offset)
);
COMMENT ON TABLE dead_letters IS
    'Messages that could not be applied, as they were. Whose they are is kept where it can be '
    'told, so that forgetting a user reaches them; nothing is kept of an id that was forgotten.';
COMMENT ON COLUMN dead_letters.headers IS
    'Pairs of a name and its value in base64, in their order.';
COMMENT ON COLUMN dead_letters.sent_at IS 'When the dead-letter topic got it.';
COMMENT ON COLUMN dead_letters.redriven_at IS 'When it went into the log after all.';
CREATE INDEX dead_letters_users ON dead_letters (tenant_id, user_id);
CREATE INDEX dead_letters_unsent ON dead_letters (dead_letter_id) WHERE sent_at IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO memory_worker;
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- Bound to a tenant the worker sees that tenant's; bound to nothing, as an operator, all of them.
CREATE POLICY worker ON dead_letters TO memory_worker
    USING (tenant_id = bound_tenant() OR bound_tenant() IS NULL);
