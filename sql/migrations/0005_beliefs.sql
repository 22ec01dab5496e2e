-- The long-term tier: what is believed of one user, why, and since when.

CREATE TABLE assertions (
    tenant_id       text NOT NULL,
    user_id         text NOT NULL,
    generation      smallint NOT NULL,
    belief_key      bytea NOT NULL,
    assertion_id    bytea NOT NULL,
    position        bigint NOT NULL,
    candidate       jsonb NOT NULL,
    provenance      jsonb NOT NULL,
    extractor       text NOT NULL,
    interaction_ids text[] NOT NULL,
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, generation, belief_key, assertion_id)
);
COMMENT ON TABLE assertions IS
    'What extractors asserted, as they asserted it. Beliefs are a fold over the assertions of one '
    'belief key, so a late arrival or a retraction is the same fold over another set.';
COMMENT ON COLUMN assertions.belief_key IS
    'A digest of what the belief is about: its subject, attribute and context.';
COMMENT ON COLUMN assertions.assertion_id IS 'A digest of what it says and what it rests on.';
COMMENT ON COLUMN assertions.position IS 'Of the newest interaction it rests on.';
COMMENT ON COLUMN assertions.interaction_ids IS 'Of all the interactions it rests on.';
COMMENT ON COLUMN assertions.recorded_at IS 'When the log learned it.';
CALL protect_user_table('assertions');

CREATE TABLE memories (
    tenant_id          text NOT NULL,
    user_id            text NOT NULL,
    memory_id          bigint NOT NULL,
    generation         smallint NOT NULL,
    belief_key         bytea NOT NULL,
    kind               text NOT NULL CHECK (
                           kind IN ('episode', 'fact', 'preference', 'procedure', 'summary')),
    text               text NOT NULL,
    attribute          text,
    value              text,
    subject            text,
    context            text,
    single_valued      boolean NOT NULL,
    agent_id           text,
    session_id         text,
    ordinal            int,
    ordinal_to         int,
    confidence         real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    importance         real NOT NULL CHECK (importance BETWEEN 0 AND 1),
    initial_importance real CHECK (initial_importance BETWEEN 0 AND 1),
    support            int NOT NULL CHECK (support > 0),
    tokens             int NOT NULL,
    payload            jsonb NOT NULL,
    lexemes            tsvector NOT NULL,
    occurred_at        timestamptz NOT NULL,
    valid_from         timestamptz NOT NULL,
    valid_to           timestamptz,
    believed_from      timestamptz NOT NULL,
    believed_to        timestamptz,
    supersedes         bigint,
    contested          text[] NOT NULL DEFAULT '{}',
    archived_at        timestamptz,
    extractor          text NOT NULL,
    extractor_version  text NOT NULL,
    prompt             text,
    prompt_version     text,
    prompt_hash        text,
    model              text,
    PRIMARY KEY (tenant_id, user_id, memory_id),
    CONSTRAINT memories_valid_in_order CHECK (valid_to IS NULL OR valid_to >= valid_from),
    CONSTRAINT memories_believed_in_order CHECK (
        believed_to IS NULL OR believed_to >= believed_from)
);
COMMENT ON TABLE memories IS
    'One version of one belief. A belief that changes is closed, and another row takes its place.';
COMMENT ON COLUMN memories.memory_id IS 'Taken from users.change_seq.';
COMMENT ON COLUMN memories.attribute IS
    'What the memory is about, such as lives_in; NULL: free text.';
COMMENT ON COLUMN memories.subject IS 'Whom the memory is about; NULL: the user.';
COMMENT ON COLUMN memories.context IS 'Where it holds, such as at work; NULL: everywhere.';
COMMENT ON COLUMN memories.single_valued IS 'The attribute has one value at a time.';
COMMENT ON COLUMN memories.agent_id IS 'The one agent it serves; NULL: every agent of the tenant.';
COMMENT ON COLUMN memories.ordinal IS
    'Of its first evidence in session_id; the last is ordinal_to.';
COMMENT ON COLUMN memories.importance IS 'What the memory is worth now; the decay job lowers it.';
COMMENT ON COLUMN memories.initial_importance IS
    'What the memory was worth before time lowered it; NULL: importance still says so.';
COMMENT ON COLUMN memories.support IS 'How many interactions support it.';
COMMENT ON COLUMN memories.tokens IS 'An estimate of what its text takes in a context.';
COMMENT ON COLUMN memories.lexemes IS 'The words recall searches, in the language of the store.';
COMMENT ON COLUMN memories.valid_from IS
    'When it began to hold in the world; valid_to: when it ended.';
COMMENT ON COLUMN memories.believed_from IS
    'When this version began to be believed; believed_to: when it was closed.';
COMMENT ON COLUMN memories.supersedes IS 'The memory whose place it took.';
COMMENT ON COLUMN memories.contested IS
    'The values that rival it where nothing decides between them.';
COMMENT ON COLUMN memories.archived_at IS
    'Recall leaves it out since then, for want of importance.';
CREATE INDEX memories_current ON memories (tenant_id, user_id, generation, memory_id)
    WHERE believed_to IS NULL AND archived_at IS NULL;
COMMENT ON INDEX memories_current IS
    'What recall scans: one user''s current beliefs, exactly. There is no index over vectors or '
    'lexemes on purpose; see docs/design.md.';
CREATE UNIQUE INDEX memories_one_belief
    ON memories (tenant_id, user_id, generation, belief_key, valid_from, COALESCE(value, ''))
    WHERE believed_to IS NULL;
COMMENT ON INDEX memories_one_belief IS 'The same belief is never believed twice at once.';
CREATE INDEX memories_promotable ON memories (tenant_id, generation, attribute, user_id)
    WHERE believed_to IS NULL AND archived_at IS NULL AND subject IS NULL AND agent_id IS NULL
        AND value IS NOT NULL AND length(attribute) <= 100;
COMMENT ON INDEX memories_promotable IS
    'What promotion counts, attribute by attribute. Longer attributes are not promoted: an index '
    'row has to fit a page.';
CREATE INDEX memories_subjects ON memories (tenant_id, subject) WHERE subject IS NOT NULL;
COMMENT ON INDEX memories_subjects IS 'Names to keep out of the collective tier.';
ALTER TABLE memories
    ALTER COLUMN text SET STATISTICS 0,
    ALTER COLUMN attribute SET STATISTICS 0,
    ALTER COLUMN value SET STATISTICS 0,
    ALTER COLUMN subject SET STATISTICS 0,
    ALTER COLUMN context SET STATISTICS 0,
    ALTER COLUMN contested SET STATISTICS 0;
CALL protect_user_table('memories');

CREATE TABLE evidence (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    memory_id      bigint NOT NULL,
    interaction_id text NOT NULL,
    start_offset   int NOT NULL,
    end_offset     int NOT NULL,
    quote          text NOT NULL,
    stance         text NOT NULL CHECK (stance IN ('supports', 'contradicts')),
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, memory_id, interaction_id, start_offset, stance),
    FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories ON DELETE CASCADE,
    CONSTRAINT evidence_offsets_in_order CHECK (start_offset >= 0 AND end_offset >= start_offset)
);
COMMENT ON TABLE evidence IS 'The words of an interaction that speak for or against a memory.';
COMMENT ON COLUMN evidence.start_offset IS
    'In characters of the interaction''s content, from 0; end_offset is the first one after.';
COMMENT ON COLUMN evidence.quote IS 'Those words; empty once retention has removed them.';
CREATE INDEX evidence_interaction ON evidence (tenant_id, user_id, interaction_id);
ALTER TABLE evidence ALTER COLUMN quote SET STATISTICS 0;
CALL protect_user_table('evidence');

CREATE TABLE embeddings (
    tenant_id   text NOT NULL,
    user_id     text NOT NULL,
    embedder_id smallint NOT NULL REFERENCES embedders,
    generation  smallint NOT NULL,
    memory_id   bigint NOT NULL,
    vector      halfvec NOT NULL,
    PRIMARY KEY (tenant_id, user_id, embedder_id, generation, memory_id),
    FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories ON DELETE CASCADE
);
COMMENT ON TABLE embeddings IS
    'The vectors of memories. Recall reads those of one embedder and one generation, however many '
    'others there are.';
COMMENT ON COLUMN embeddings.vector IS
    'Of no fixed dimension, so that vectors of another embedder can be made beside those that '
    'serve.';
CALL protect_user_table('embeddings');

CREATE TABLE session_progress (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    generation     smallint NOT NULL,
    session_id     text NOT NULL,
    ordinal        int NOT NULL DEFAULT 0,
    attempts       int NOT NULL DEFAULT 0,
    error          text,
    set_aside_at   timestamptz,
    retry_at       timestamptz,
    reread_through int NOT NULL DEFAULT 0,
    reread_at      timestamptz,
    crash_count    int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, user_id, generation, session_id)
);
COMMENT ON TABLE session_progress IS
    'How far each generation has read each session; it commits with the memories it made.';
COMMENT ON COLUMN session_progress.session_id IS
    'The session; empty where extraction reads the user as a whole.';
COMMENT ON COLUMN session_progress.ordinal IS 'The last ordinal that was read.';
COMMENT ON COLUMN session_progress.attempts IS
    'How many attempts failed since the last that did not.';
COMMENT ON COLUMN session_progress.set_aside_at IS
    'Extraction gave up on the session then; an operator lets it try again.';
COMMENT ON COLUMN session_progress.retry_at IS 'A session that failed is not read before then.';
COMMENT ON COLUMN session_progress.reread_through IS
    'A session that was rewound had been read up to here, so what is made of it again takes the '
    'place of all that was made of it then.';
COMMENT ON COLUMN session_progress.reread_at IS
    'When the newest retraction or restoration rewound the session; what is made of it again is '
    'believed from then on.';
COMMENT ON COLUMN session_progress.crash_count IS
    'How often the session was begun after an abandoned lease, with no word of it since.';
CALL protect_user_table('session_progress');

CREATE TABLE forgotten_beliefs (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    belief_key   bytea NOT NULL,
    value_digest bytea NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, belief_key, value_digest)
);
COMMENT ON TABLE forgotten_beliefs IS
    'Beliefs a user asked to forget while the messages behind them stay. Replay respects them.';
COMMENT ON COLUMN forgotten_beliefs.value_digest IS 'A digest, so that the value itself is gone.';
CALL protect_user_table('forgotten_beliefs');

CREATE TABLE memory_usage (
    tenant_id    text NOT NULL,
    user_id      text NOT NULL,
    memory_id    bigint NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    uses         int NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, user_id, memory_id),
    FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories ON DELETE CASCADE
) WITH (fillfactor = 70);
COMMENT ON TABLE memory_usage IS 'When a memory was last of use, and how often.';
CALL protect_user_table('memory_usage');

CREATE TABLE recall_blocks (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    generation smallint NOT NULL,
    block      bigint NOT NULL,
    members    bytea STORAGE EXTERNAL,  -- unpacking takes longer than reading
    postings   tsvector STORAGE EXTERNAL,
    PRIMARY KEY (tenant_id, user_id, generation, block)
);
COMMENT ON TABLE recall_blocks IS
    'What recall reads of 256 memories at once, where it would read 256 rows. A block says only '
    'what memories says: a memory that comes, goes or changes removes its block in the same '
    'transaction, recall reads row by row what no block holds, and build_block makes blocks anew, '
    'out of anybody''s way.';
COMMENT ON COLUMN recall_blocks.block IS
    'It holds the current memories with ids from 256 * block on, in the order of their ids.';
COMMENT ON COLUMN recall_blocks.members IS
    '25 bytes for each memory, made by encode_member; NULL: to be read row by row.';
COMMENT ON COLUMN recall_blocks.postings IS
    'Each lexeme with the places, from 1, of the members that hold it.';
ALTER TABLE recall_blocks
    ALTER COLUMN members SET STATISTICS 0,
    ALTER COLUMN postings SET STATISTICS 0;
CALL protect_user_table('recall_blocks');
