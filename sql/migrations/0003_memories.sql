-- The long-term tier: what is believed of one user, why, and since when.

-- What extractors asserted, as they asserted it. Beliefs are a fold over the assertions of one
-- belief key, so a late arrival or a retraction is the same fold over another set.
CREATE TABLE assertions (
    tenant_id       text NOT NULL,
    user_id         text NOT NULL,
    generation      smallint NOT NULL,
    belief_key      bytea NOT NULL,
    assertion_id    bytea NOT NULL,     -- digest of what it says and what it rests on
    position        bigint NOT NULL,    -- of the newest interaction it rests on
    candidate       jsonb NOT NULL,
    provenance      jsonb NOT NULL,
    extractor       text NOT NULL,
    interaction_ids text[] NOT NULL,
    recorded_at     timestamptz NOT NULL,  -- when the log learned it
    PRIMARY KEY (tenant_id, user_id, generation, belief_key, assertion_id)
);

CREATE TABLE memories (
    tenant_id         text NOT NULL,
    user_id           text NOT NULL,
    memory_id         bigint NOT NULL,     -- from users.change_seq
    generation        smallint NOT NULL,
    belief_key        bytea NOT NULL,
    kind              text NOT NULL,
    text              text NOT NULL,
    attribute         text,
    value             text,
    subject           text,
    context           text,
    single_valued     boolean NOT NULL,
    agent_id          text,                -- NULL: serves every agent of the tenant
    session_id        text,
    ordinal           int,                 -- of its first evidence in that session
    ordinal_to        int,
    confidence        real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    importance        real NOT NULL CHECK (importance BETWEEN 0 AND 1),
    support           int NOT NULL CHECK (support > 0),
    tokens            int NOT NULL,
    payload           jsonb NOT NULL,
    lexemes           tsvector NOT NULL,
    occurred_at       timestamptz NOT NULL,
    valid_from        timestamptz NOT NULL,
    valid_to          timestamptz,
    believed_from     timestamptz NOT NULL,
    believed_to       timestamptz,
    supersedes        bigint,
    archived_at       timestamptz,
    extractor         text NOT NULL,
    extractor_version text NOT NULL,
    prompt            text,
    prompt_version    text,
    prompt_hash       text,
    model             text,
    CHECK (kind IN ('episode', 'fact', 'preference', 'procedure', 'summary')),
    CHECK (valid_to IS NULL OR valid_to >= valid_from),
    CHECK (believed_to IS NULL OR believed_to >= believed_from),
    PRIMARY KEY (tenant_id, user_id, memory_id)
);
-- What recall scans: one user's current beliefs, exactly. There is no index over vectors or
-- lexemes on purpose; see docs/design.md.
CREATE INDEX memories_current ON memories (tenant_id, user_id, generation)
    WHERE believed_to IS NULL AND archived_at IS NULL;
-- The same belief is never believed twice at once.
CREATE UNIQUE INDEX memories_one_belief
    ON memories (tenant_id, user_id, generation, belief_key, valid_from, COALESCE(value, ''))
    WHERE believed_to IS NULL;

CREATE TABLE evidence (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    memory_id      bigint NOT NULL,
    interaction_id text NOT NULL,
    start_at       int NOT NULL,
    end_at         int NOT NULL,
    quote          text NOT NULL,
    stance         text NOT NULL CHECK (stance IN ('supports', 'contradicts')),
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    CHECK (start_at >= 0 AND end_at >= start_at),
    PRIMARY KEY (tenant_id, user_id, memory_id, interaction_id, start_at, stance),
    FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories ON DELETE CASCADE
);
CREATE INDEX evidence_interaction ON evidence (tenant_id, user_id, interaction_id);

-- Dimension-free, so that another embedder can be moved to beside the one that serves.
CREATE TABLE embeddings (
    tenant_id   text NOT NULL,
    user_id     text NOT NULL,
    embedder_id smallint NOT NULL REFERENCES embedders,
    memory_id   bigint NOT NULL,
    vector      halfvec NOT NULL,
    PRIMARY KEY (tenant_id, user_id, embedder_id, memory_id),
    FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories ON DELETE CASCADE
);

-- How far each generation has come in each session; commits with the memories it made.
CREATE TABLE progress (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    generation   smallint NOT NULL,
    session_id   text NOT NULL,
    ordinal      int NOT NULL DEFAULT 0,
    attempts     int NOT NULL DEFAULT 0,
    error        text,
    set_aside_at timestamptz,
    PRIMARY KEY (tenant_id, user_id, generation, session_id)
);

-- Beliefs a user asked to forget while the messages behind them stay: replay respects them.
CREATE TABLE forgotten_beliefs (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    belief_key   bytea NOT NULL,
    value_digest bytea NOT NULL,         -- a digest, so that the value itself is gone
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, belief_key, value_digest)
);
