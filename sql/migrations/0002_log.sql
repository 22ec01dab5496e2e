-- The log: what happened, in the order it was recorded. Everything else is derived from it.
-- Every table leads with (tenant_id, user_id), the key by which it can be distributed.

CREATE TABLE users (
    tenant_id    text NOT NULL CHECK (tenant_id <> ''),
    user_id      text NOT NULL CHECK (user_id <> ''),
    position     bigint NOT NULL DEFAULT 0,  -- interactions recorded so far
    change_seq   bigint NOT NULL DEFAULT 0,  -- memory changes so far; also hands out memory ids
    forget_seq   bigint NOT NULL DEFAULT 0,  -- how often something was forgotten
    recorded_at  timestamptz,                -- of the newest interaction
    due_at       timestamptz,                -- extraction wanted from then on; NULL: nothing new
    extracted    bigint NOT NULL DEFAULT 0,  -- position up to which extraction has come
    lease_token  uuid,
    leased_until timestamptz,
    PRIMARY KEY (tenant_id, user_id)
) WITH (fillfactor = 70);  -- room for HOT updates: this row changes with every record
CREATE INDEX users_due ON users (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE sessions (
    tenant_id       text NOT NULL,
    user_id         text NOT NULL,
    session_id      text NOT NULL CHECK (session_id <> ''),
    agent_id        text,
    length          int NOT NULL DEFAULT 0,      -- ordinals handed out; the next is length + 1
    started_at      timestamptz NOT NULL,        -- event times
    last_at         timestamptz NOT NULL,
    expires_at      timestamptz,                 -- of the working memory, not of the log
    closed_at       timestamptz,
    summary         text NOT NULL DEFAULT '',    -- rolling, of the ordinals up to summary_through
    summary_through int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, user_id, session_id)
) WITH (fillfactor = 70);

CREATE TABLE task_state (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    session_id text NOT NULL,
    key        text NOT NULL CHECK (key <> ''),
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, session_id, key)
);

CREATE TABLE interactions (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    session_id     text NOT NULL,
    ordinal        int NOT NULL CHECK (ordinal > 0),
    position       bigint NOT NULL CHECK (position > 0),
    interaction_id text NOT NULL CHECK (interaction_id <> ''),
    agent_id       text,
    private        boolean NOT NULL,
    kind           text NOT NULL,
    role           text NOT NULL,
    actor          text,
    content        text NOT NULL,
    payload        jsonb NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    source         text NOT NULL,
    content_hash   bytea NOT NULL,
    CHECK (kind IN ('message', 'tool_call', 'tool_result', 'retrieval', 'feedback', 'model_call')),
    CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    PRIMARY KEY (tenant_id, user_id, session_id, ordinal),
    UNIQUE (tenant_id, user_id, interaction_id)
);
-- What a user did rather than said: read whole by extractors that look at all of a user's history.
CREATE INDEX interactions_acts ON interactions (tenant_id, user_id, position)
    WHERE kind <> 'message';

-- Ids that were forgotten, as digests: they stay forgotten when they are delivered again, and
-- account for the ordinals they leave open.
CREATE TABLE tombstones (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    id_digest    bytea NOT NULL,
    session_id   text,
    ordinal      int,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, id_digest)
);
