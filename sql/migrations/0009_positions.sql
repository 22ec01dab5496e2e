-- How far each partition of a topic was applied, and what could not be.

-- Postgres owns the position: it commits with the rows it brought, and only for the owner of the
-- epoch. Keyed by the topic's id, so that a topic made again under an old name starts anew.
CREATE TABLE positions (
    cluster_id  text NOT NULL CHECK (cluster_id <> ''),
    topic_id    text NOT NULL CHECK (topic_id <> ''),
    partition   int NOT NULL CHECK (partition >= 0),
    topic       text NOT NULL,
    next_offset bigint CHECK (next_offset >= 0),  -- to read next; NULL: not even begun
    epoch       bigint NOT NULL DEFAULT 1,        -- raised by each process that takes it over
    owner       text NOT NULL,                    -- which process that is
    record_time timestamptz,                      -- the broker's, of the newest record applied
    appended    bigint NOT NULL DEFAULT 0,        -- what became of the records so far
    duplicates  bigint NOT NULL DEFAULT 0,
    forgotten   bigint NOT NULL DEFAULT 0,
    set_aside   bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (cluster_id, topic_id, partition)
) WITH (fillfactor = 50);  -- room for HOT updates: a row changes with every batch
GRANT SELECT ON positions TO memory_client;
GRANT SELECT, INSERT, UPDATE, DELETE ON positions TO memory_worker;

-- Messages that could not be applied, as they were. Whose they are is kept where it can be told, so
-- that forgetting a user reaches them; nothing is kept of an id that was forgotten.
CREATE TABLE dead_letters (
    letter_id      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
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
    headers        jsonb NOT NULL DEFAULT '[]',  -- [name, base64 of its value] in their order
    tenant_id      text,
    user_id        text,
    session_id     text,
    interaction_id text,
    record_time    timestamptz,
    set_aside_at   timestamptz NOT NULL DEFAULT now(),
    sent_at        timestamptz,                  -- to the dead-letter topic
    redriven_at    timestamptz,                  -- into the log, after all
    PRIMARY KEY (cluster_id, topic_id, partition, record_offset)
);
CREATE INDEX dead_letters_users ON dead_letters (tenant_id, user_id);
CREATE INDEX dead_letters_unsent ON dead_letters (letter_id) WHERE sent_at IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO memory_worker;
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- Bound to a tenant the worker sees that tenant's; bound to nothing, as an operator, all of them.
CREATE POLICY worker ON dead_letters TO memory_worker
    USING (tenant_id = bound_tenant() OR bound_tenant() IS NULL);

-- The W3C trace context a message came with. Beside the event, not part of it: a retry under another
-- trace is the same event, so neither counts in the content hash.
ALTER TABLE interactions ADD COLUMN traceparent text, ADD COLUMN tracestate text;

-- Removes what is known to be the bound user's from the dead letters, in the caller's transaction:
-- everything, or what belongs to a session or to given interactions.
CREATE FUNCTION forget_dead_letters(session text, ids text[]) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = memory, pg_temp
BEGIN ATOMIC
    WITH gone AS (
        DELETE FROM dead_letters d
        WHERE d.tenant_id = bound_tenant() AND d.user_id = bound_user()
            AND (forget_dead_letters.session IS NULL AND forget_dead_letters.ids IS NULL
                OR d.session_id = forget_dead_letters.session
                OR d.interaction_id = ANY(forget_dead_letters.ids))
        RETURNING 1
    )
    SELECT count(*) FROM gone;
END;
REVOKE EXECUTE ON FUNCTION forget_dead_letters FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_dead_letters TO memory_client, memory_worker;
GRANT CREATE ON SCHEMA memory TO memory_worker;
ALTER FUNCTION forget_dead_letters OWNER TO memory_worker;
REVOKE CREATE ON SCHEMA memory FROM memory_worker;
