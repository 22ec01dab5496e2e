-- The collective tier: what many users of a tenant support, worded so that it reveals none.
-- Its tables lead with the tenant alone.

CREATE TABLE tenants (
    tenant_id  text PRIMARY KEY CHECK (tenant_id <> ''),
    policy     jsonb NOT NULL DEFAULT '{}',   -- retention, k; read by the operators' jobs
    change_seq bigint NOT NULL DEFAULT 0      -- hands out collective memory ids
);

CREATE TABLE collective_memories (
    tenant_id     text NOT NULL,
    memory_id     bigint NOT NULL,
    generation    smallint NOT NULL,
    belief_key    bytea NOT NULL,
    kind          text NOT NULL,
    text          text NOT NULL,
    attribute     text NOT NULL,
    value         text NOT NULL,
    context       text,
    confidence    real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    support       int NOT NULL,               -- as published: rounded, never the exact count
    tokens        int NOT NULL,
    lexemes       tsvector NOT NULL,
    valid_from    timestamptz NOT NULL,
    valid_to      timestamptz,
    believed_from timestamptz NOT NULL,
    believed_to   timestamptz,
    extractor         text NOT NULL,
    extractor_version text NOT NULL,
    CHECK (kind IN ('fact', 'preference', 'procedure')),
    PRIMARY KEY (tenant_id, memory_id)
);
CREATE UNIQUE INDEX collective_memories_one_belief
    ON collective_memories (tenant_id, generation, belief_key) WHERE believed_to IS NULL;

CREATE TABLE collective_embeddings (
    tenant_id   text NOT NULL,
    embedder_id smallint NOT NULL REFERENCES embedders,
    memory_id   bigint NOT NULL,
    vector      halfvec NOT NULL,
    PRIMARY KEY (tenant_id, embedder_id, memory_id),
    FOREIGN KEY (tenant_id, memory_id) REFERENCES collective_memories ON DELETE CASCADE
);

-- Who supports what. The worker counts it; no client ever reads it.
CREATE TABLE collective_support (
    tenant_id      text NOT NULL,
    memory_id      bigint NOT NULL,
    user_id        text NOT NULL,
    user_memory_id bigint NOT NULL,
    PRIMARY KEY (tenant_id, memory_id, user_id),
    FOREIGN KEY (tenant_id, memory_id) REFERENCES collective_memories ON DELETE CASCADE
);
CREATE INDEX collective_support_user ON collective_support (tenant_id, user_id);
