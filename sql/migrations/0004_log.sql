-- The log: what happened, in the order it was recorded. Everything else is derived from it. Every
-- table leads with (tenant_id, user_id), the key by which it can be distributed.

CREATE TABLE users (
    tenant_id        text NOT NULL CHECK (tenant_id <> ''),
    user_id          text NOT NULL CHECK (user_id <> ''),
    position         bigint NOT NULL DEFAULT 0,
    change_seq       bigint NOT NULL DEFAULT 0,
    forget_seq       bigint NOT NULL DEFAULT 0,
    recorded_at      timestamptz,
    due_at           timestamptz,
    backfill         boolean NOT NULL DEFAULT false,
    extracted        bigint NOT NULL DEFAULT 0,
    lease_token      uuid,
    leased_until     timestamptz,
    abandoned_leases int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, user_id)
) WITH (fillfactor = 70);  -- room for HOT updates: the row changes with every record
COMMENT ON TABLE users IS
    'A row for each user: how far the log and its extraction have come, and who extracts.';
COMMENT ON COLUMN users.position IS 'How many interactions were recorded so far.';
COMMENT ON COLUMN users.change_seq IS
    'How often the user''s memories changed; it also hands out the ids of memories.';
COMMENT ON COLUMN users.forget_seq IS 'How often something was forgotten or retracted.';
COMMENT ON COLUMN users.recorded_at IS 'When the newest interaction was recorded.';
COMMENT ON COLUMN users.due_at IS 'Extraction is wanted from then on; NULL: nothing is new.';
COMMENT ON COLUMN users.backfill IS 'All that waits for extraction is imported history.';
COMMENT ON COLUMN users.extracted IS 'The position up to which extraction has come.';
COMMENT ON COLUMN users.lease_token IS 'Of the worker that extracts the user; NULL: nobody does.';
COMMENT ON COLUMN users.abandoned_leases IS
    'How many leases in a row ran out and were not given back, before the present one. A worker '
    'that dies reports nothing; its lease does.';
CREATE INDEX users_due ON users (backfill, due_at) WHERE due_at IS NOT NULL;
CALL protect_user_table('users');
-- Leasing looks for due users in every tenant and marks one as held. A worker that is bound to
-- nothing reaches this one table for it, and nothing of what the users said.
CREATE POLICY leasing ON users FOR SELECT TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY holding ON users FOR UPDATE TO memory_worker USING (bound_tenant() IS NULL);

CREATE TABLE sessions (
    tenant_id       text NOT NULL,
    user_id         text NOT NULL,
    session_id      text NOT NULL CHECK (session_id <> ''),
    agent_id        text,
    length          int NOT NULL DEFAULT 0,
    started_at      timestamptz NOT NULL,
    last_at         timestamptz NOT NULL,
    expires_at      timestamptz,
    closed_at       timestamptz,
    summary         text NOT NULL DEFAULT '',
    summary_through int NOT NULL DEFAULT 0,
    summary_sources text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, user_id, session_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE sessions IS 'One conversation: how long it is, and its rolling summary.';
COMMENT ON COLUMN sessions.length IS
    'How many ordinals were handed out; the next interaction gets length + 1.';
COMMENT ON COLUMN sessions.started_at IS
    'When the first interaction happened, not when it came in.';
COMMENT ON COLUMN sessions.last_at IS 'When the last interaction happened.';
COMMENT ON COLUMN sessions.expires_at IS
    'When the working memory of the session ends; the log stays.';
COMMENT ON COLUMN sessions.summary IS 'The rolling summary of the ordinals up to summary_through.';
COMMENT ON COLUMN sessions.summary_sources IS
    'The ids of the interactions that the summary quotes, line by line.';
CREATE INDEX sessions_open ON sessions (tenant_id, user_id, session_id) WHERE closed_at IS NULL;
COMMENT ON INDEX sessions_open IS
    'Sessions to close. None of its columns changes while a session goes on, so updates stay HOT.';
-- The planner's statistics cover every user, and EXPLAIN shows what it makes of them to anyone. So
-- no column that holds what users said has statistics, here and in the other tables.
ALTER TABLE sessions ALTER COLUMN summary SET STATISTICS 0;
CALL protect_user_table('sessions');

CREATE TABLE task_state (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    session_id text NOT NULL,
    key        text NOT NULL CHECK (key <> ''),
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, session_id, key)
);
COMMENT ON TABLE task_state IS 'What an agent keeps of a session''s task, by key.';
CALL protect_user_table('task_state');

CREATE TABLE interactions (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    session_id     text NOT NULL,
    ordinal        int NOT NULL CHECK (ordinal > 0),
    position       bigint NOT NULL CHECK (position > 0),
    interaction_id text NOT NULL CHECK (interaction_id <> ''),
    agent_id       text,
    private        boolean NOT NULL,
    kind           text NOT NULL CHECK (kind IN (
                       'message', 'tool_call', 'tool_result', 'retrieval', 'feedback', 'model_call')),
    role           text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    actor          text,
    content        text NOT NULL,
    payload        jsonb NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    source         text NOT NULL,
    content_hash   bytea NOT NULL,
    traceparent    text,
    tracestate     text,
    retracted_at   timestamptz,
    PRIMARY KEY (tenant_id, user_id, session_id, ordinal),
    UNIQUE (tenant_id, user_id, interaction_id)
);
COMMENT ON TABLE interactions IS
    'One immutable event between a user and an agent. No foreign key leads here from evidence or '
    'assertions: an interaction can be forgotten while a memory that rests on others stays.';
COMMENT ON COLUMN interactions.ordinal IS 'The place in its session: 1, 2, 3 …';
COMMENT ON COLUMN interactions.position IS 'The place in the user''s log: 1, 2, 3 …';
COMMENT ON COLUMN interactions.private IS 'Shown to the agent it was said to and to no other.';
COMMENT ON COLUMN interactions.actor IS 'The name of who speaks, where several people do.';
COMMENT ON COLUMN interactions.source IS 'How it came in: the client, the bus or an import.';
COMMENT ON COLUMN interactions.content_hash IS
    'Of all that makes the event: a known id with another hash is a conflict.';
COMMENT ON COLUMN interactions.traceparent IS
    'The W3C trace context the event came with. It is kept beside the event and is no part of it: '
    'a retry under another trace is the same event, so neither column counts in the hash.';
COMMENT ON COLUMN interactions.retracted_at IS
    'The interaction counts for nothing since then; NULL: it counts.';
CREATE INDEX interactions_without_messages ON interactions (tenant_id, user_id, position)
    WHERE kind <> 'message';
COMMENT ON INDEX interactions_without_messages IS
    'What a user did rather than said, for extractors that look at all of a user''s history.';
CREATE INDEX interactions_actors ON interactions (tenant_id, actor) WHERE actor IS NOT NULL;
COMMENT ON INDEX interactions_actors IS 'Names to keep out of the collective tier.';
CREATE INDEX interactions_retracted ON interactions (tenant_id, user_id, interaction_id)
    WHERE retracted_at IS NOT NULL;
ALTER TABLE interactions
    ALTER COLUMN content SET STATISTICS 0,
    ALTER COLUMN actor SET STATISTICS 0;
CALL protect_user_table('interactions');

CREATE TABLE retractions (
    tenant_id       text NOT NULL,
    user_id         text NOT NULL,
    interaction_id  text NOT NULL,
    retracted_at    timestamptz NOT NULL,
    retracted_by    text NOT NULL,
    reason          text NOT NULL,
    restored_at     timestamptz,
    restored_by     text,
    restored_reason text,
    PRIMARY KEY (tenant_id, user_id, interaction_id, retracted_at),
    CONSTRAINT retractions_restored_after CHECK (restored_at IS NULL OR restored_at >= retracted_at)
);
COMMENT ON TABLE retractions IS
    'Each time an interaction was retracted: who said so, why, and until when. A retracted '
    'interaction stays in the log and counts for nothing.';
COMMENT ON COLUMN retractions.restored_at IS
    'The interaction counts again since then; NULL: it does not.';
ALTER TABLE retractions
    ALTER COLUMN reason SET STATISTICS 0,
    ALTER COLUMN restored_reason SET STATISTICS 0;
CALL protect_user_table('retractions');

CREATE TABLE tombstones (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    id_digest    bytea NOT NULL,
    session_id   text,
    ordinal      int,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, id_digest)
);
COMMENT ON TABLE tombstones IS
    'The ids of interactions that were forgotten, as digests. They stay forgotten when they are '
    'delivered again, and account for the ordinals they leave open.';
CALL protect_user_table('tombstones');
