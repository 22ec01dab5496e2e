-- The collective tier: what many users of a tenant support, worded so that it reveals none. Its
-- tables lead with the tenant alone. Clients of the tenant read what is published; only the worker
-- writes it, and only the worker knows who supports what.

CREATE TABLE tenants (
    tenant_id  text PRIMARY KEY CHECK (tenant_id <> ''),
    policy     jsonb NOT NULL DEFAULT '{}',
    change_seq bigint NOT NULL DEFAULT 0,
    secret     bytea NOT NULL
                   DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
    CONSTRAINT tenants_policy_valid CHECK (
        jsonb_typeof(policy) = 'object' AND COALESCE((policy->>'k')::int, 5) >= 2
        AND COALESCE((policy->>'jitter')::int, 0) BETWEEN 0 AND 1000)
);
COMMENT ON TABLE tenants IS 'The policy of each tenant, and what its collective tier needs.';
COMMENT ON COLUMN tenants.policy IS
    'Retention, k and the rest, as the operators'' jobs read it. A check covers the numbers that '
    'forgetting reads: a policy that cannot be read must not get in its way.';
COMMENT ON COLUMN tenants.change_seq IS 'Hands out the ids of collective memories.';
COMMENT ON COLUMN tenants.secret IS
    'Thresholds of the collective tier move by digests under this secret: whoever knows all '
    'supporters but one still does not know at which count the next belief is published or '
    'withdrawn.';
CALL protect_tenant_table('tenants');

CREATE TABLE collective_memories (
    tenant_id         text NOT NULL,
    memory_id         bigint NOT NULL,
    generation        smallint NOT NULL,
    belief_key        bytea NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('fact', 'preference', 'procedure')),
    text              text NOT NULL,
    attribute         text NOT NULL,
    value             text NOT NULL,
    context           text,
    confidence        real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    support           int NOT NULL,
    people            text NOT NULL DEFAULT 'users',
    evidence_kinds    text[] NOT NULL DEFAULT '{}',
    tokens            int NOT NULL,
    lexemes           tsvector NOT NULL,
    valid_from        timestamptz NOT NULL,
    valid_to          timestamptz,
    believed_from     timestamptz NOT NULL,
    believed_to       timestamptz,
    extractor         text NOT NULL,
    extractor_version text NOT NULL,
    PRIMARY KEY (tenant_id, memory_id)
);
COMMENT ON TABLE collective_memories IS 'What at least k users of a tenant hold.';
COMMENT ON COLUMN collective_memories.generation IS
    'The live generation under which it was published. The tier is one, whichever generation of a '
    'user it counted.';
COMMENT ON COLUMN collective_memories.support IS 'As published: rounded, never the exact count.';
COMMENT ON COLUMN collective_memories.people IS 'What its supporters are called.';
COMMENT ON COLUMN collective_memories.evidence_kinds IS
    'The kinds of interaction that k supporters share as evidence.';
CREATE UNIQUE INDEX collective_memories_one_belief ON collective_memories (tenant_id, belief_key)
    WHERE believed_to IS NULL;
CALL protect_tenant_table('collective_memories');
CREATE POLICY client ON collective_memories FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant() AND believed_to IS NULL);
GRANT SELECT ON collective_memories TO memory_client;

CREATE TABLE collective_embeddings (
    tenant_id   text NOT NULL,
    embedder_id smallint NOT NULL REFERENCES embedders,
    memory_id   bigint NOT NULL,
    vector      halfvec NOT NULL,
    PRIMARY KEY (tenant_id, embedder_id, memory_id),
    FOREIGN KEY (tenant_id, memory_id) REFERENCES collective_memories ON DELETE CASCADE
);
COMMENT ON TABLE collective_embeddings IS 'The vectors of collective memories.';
CALL protect_tenant_table('collective_embeddings');
CREATE POLICY client ON collective_embeddings FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_embeddings TO memory_client;

CREATE TABLE collective_blocks (
    tenant_id    text NOT NULL,
    block        bigint NOT NULL,
    member_count int NOT NULL,
    word_total   bigint NOT NULL,
    word_counts  int[] STORAGE MAIN NOT NULL,  -- unpacking takes longer than reading
    postings     tsvector STORAGE EXTERNAL,
    PRIMARY KEY (tenant_id, block)
);
COMMENT ON TABLE collective_blocks IS
    'What a question looks at of 256 collective memories at once, where it would read 256 rows. '
    'As in recall_blocks, a memory that comes, goes or is worded anew removes its block in the '
    'same transaction; the promote job makes blocks.';
COMMENT ON COLUMN collective_blocks.block IS
    'It holds the tenant''s current collective memories with ids from 256 * block on.';
COMMENT ON COLUMN collective_blocks.word_total IS 'The sum of word_counts.';
COMMENT ON COLUMN collective_blocks.word_counts IS
    'How many lexemes each memory has, by its place in the block; 0 where there is no memory.';
COMMENT ON COLUMN collective_blocks.postings IS
    'Each lexeme with the places of the memories that hold it, which are their ids % 256 + 1; '
    'NULL: to be read row by row.';
ALTER TABLE collective_blocks
    ALTER COLUMN word_counts SET STATISTICS 0,
    ALTER COLUMN postings SET STATISTICS 0;
CALL protect_tenant_table('collective_blocks');
CREATE POLICY client ON collective_blocks FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_blocks TO memory_client;

CREATE TABLE collective_support (
    tenant_id      text NOT NULL,
    memory_id      bigint NOT NULL,
    user_id        text NOT NULL,
    user_memory_id bigint NOT NULL,
    PRIMARY KEY (tenant_id, memory_id, user_id),
    FOREIGN KEY (tenant_id, memory_id) REFERENCES collective_memories ON DELETE CASCADE
);
COMMENT ON TABLE collective_support IS
    'Who supports what. The worker counts it; no client ever reads it.';
CREATE INDEX collective_support_user ON collective_support (tenant_id, user_id);
CALL protect_tenant_table('collective_support');

CREATE TABLE collective_withdrawals (
    tenant_id        text NOT NULL,
    belief_digest    bytea NOT NULL,
    withdrawal_count int NOT NULL DEFAULT 1,
    withdrawn_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, belief_digest)
);
COMMENT ON TABLE collective_withdrawals IS
    'What was withdrawn: how often, for fresh thresholds each time, and when, so that nothing '
    'comes back at once.';
COMMENT ON COLUMN collective_withdrawals.belief_digest IS
    'A digest of the belief that only the tenant''s secret can make again.';
CALL protect_tenant_table('collective_withdrawals');

CREATE TABLE job_progress (
    tenant_id    text NOT NULL,
    job          text NOT NULL,
    cursor       text NOT NULL DEFAULT '',
    lease_token  uuid,
    leased_until timestamptz,
    finished_at  timestamptz,
    PRIMARY KEY (tenant_id, job)
);
COMMENT ON TABLE job_progress IS
    'How far an operators'' job has come in a tenant, and which process runs it.';
COMMENT ON COLUMN job_progress.cursor IS 'What the next run goes on after; empty: from the start.';
CALL protect_tenant_table('job_progress');
