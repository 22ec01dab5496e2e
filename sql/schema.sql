-- The whole schema, as `memory migrate` leaves it: to be read, not to be run. Generated from the
-- catalog of a migrated database by `python -m tests.schema`. What makes it is in sql/migrations.

-- All that Experiential Memory keeps. Apps act as memory_client, which sees one user of one tenant
-- at a time: the user that memory.tenant_id and memory.user_id bind to the transaction, and nothing
-- without a binding. Extraction and the operators' jobs act as memory_worker, which leases users of
-- every tenant and otherwise sees the one tenant that is bound.
CREATE SCHEMA memory;
CREATE ROLE memory_backup NOLOGIN;
CREATE ROLE memory_client NOLOGIN;
CREATE ROLE memory_tenant_login NOLOGIN;
CREATE ROLE memory_worker NOLOGIN;
GRANT USAGE ON SCHEMA memory TO memory_backup;
GRANT USAGE ON SCHEMA memory TO memory_client;
GRANT USAGE ON SCHEMA memory TO memory_worker;

-- ======== ledger

-- The migrations that were applied to this database.
CREATE TABLE schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    -- Of the migration's file; a file that was applied never changes.
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
);
GRANT SELECT ON schema_migrations TO memory_backup;
GRANT SELECT ON schema_migrations TO memory_client;
GRANT SELECT ON schema_migrations TO memory_worker;

-- ======== generations

-- What can make vectors. Recall reads the vectors of the live embedder; vectors of two embedders
-- are never compared.
CREATE TABLE embedders (
    embedder_id smallint NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    dimensions integer NOT NULL,
    state text NOT NULL DEFAULT 'live'::text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT embedders_pkey PRIMARY KEY (embedder_id),
    CONSTRAINT embedders_name_key UNIQUE (name),
    CONSTRAINT embedders_dimensions_check CHECK (dimensions > 0),
    CONSTRAINT embedders_name_check CHECK (name <> ''::text),
    CONSTRAINT embedders_state_check CHECK (state = ANY (ARRAY['building'::text, 'live'::text, 'retired'::text]))
);
CREATE UNIQUE INDEX embedders_one_live ON embedders USING btree (state) WHERE (state = 'live'::text);
GRANT SELECT ON embedders TO memory_backup;
GRANT SELECT ON embedders TO memory_client;
GRANT INSERT, SELECT, UPDATE ON embedders TO memory_worker;

-- All memories made by one set of extractor versions.
CREATE TABLE generations (
    generation smallint NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    state text NOT NULL,
    -- The version of each extractor, by its name.
    extractors jsonb NOT NULL DEFAULT '{}'::jsonb,
    -- Of the users whom the generation serves. A shadow takes its users from the live generation.
    percent smallint NOT NULL DEFAULT 0,
    -- Extraction derives new interactions for this generation as soon as for the live one.
    followed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT generations_pkey PRIMARY KEY (generation),
    CONSTRAINT generations_name_key UNIQUE (name),
    CONSTRAINT generations_name_check CHECK (name <> ''::text),
    CONSTRAINT generations_percent_check CHECK (percent >= 0 AND percent <= 100),
    CONSTRAINT generations_percent_matches_state CHECK (
CASE state
    WHEN 'live'::text THEN percent = 100 AND followed
    WHEN 'shadow'::text THEN percent = 0 OR followed
    ELSE percent = 0 AND NOT followed
END),
    CONSTRAINT generations_state_check CHECK (state = ANY (ARRAY['shadow'::text, 'live'::text, 'retired'::text]))
);
-- At most one live generation, and at most one shadow that takes users from it.
CREATE UNIQUE INDEX generations_serving ON generations USING btree (state) WHERE (percent > 0);
GRANT SELECT ON generations TO memory_backup;
GRANT SELECT ON generations TO memory_client;
GRANT INSERT, SELECT, UPDATE ON generations TO memory_worker;

-- How far a generation beside the live one has derived a user; it commits after the memories it
-- made. No row: never to the end. For the live generation the row in users says it.
CREATE TABLE generation_progress (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    -- The last position of the user's log it read.
    position bigint NOT NULL,
    -- The value of users.forget_seq at that time; a greater one now: more was forgotten since.
    forget_seq bigint NOT NULL,
    derived_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT generation_progress_pkey PRIMARY KEY (tenant_id, user_id, generation)
);
ALTER TABLE generation_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON generation_progress FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON generation_progress TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON generation_progress TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON generation_progress TO memory_backup;
GRANT INSERT, SELECT ON generation_progress TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON generation_progress TO memory_worker;

-- ======== log

-- A row for each user: how far the log and its extraction have come, and who extracts.
CREATE TABLE users (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    -- How many interactions were recorded so far.
    position bigint NOT NULL DEFAULT 0,
    -- How often the user's memories changed; it also hands out the ids of memories.
    change_seq bigint NOT NULL DEFAULT 0,
    -- How often something was forgotten or retracted.
    forget_seq bigint NOT NULL DEFAULT 0,
    -- When the newest interaction was recorded.
    recorded_at timestamptz,
    -- Extraction is wanted from then on; NULL: nothing is new.
    due_at timestamptz,
    -- All that waits for extraction is imported history or failed before: others come first.
    backfill boolean NOT NULL DEFAULT false,
    -- The position up to which extraction has come.
    extracted bigint NOT NULL DEFAULT 0,
    -- Of the worker that extracts the user; NULL: nobody does.
    lease_token uuid,
    leased_until timestamptz,
    -- How many leases in a row ran out and were not given back, before the present one. A worker
    -- that dies reports nothing; its lease does.
    abandoned_leases integer NOT NULL DEFAULT 0,
    -- The size of the user's interactions, content and payload; NULL: recorded before this was
    -- counted, and not measured yet.
    bytes bigint,
    CONSTRAINT users_pkey PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT users_plausible CHECK (char_length(user_id) <= 200 AND "position" >= 0 AND "position" <= '10000000000'::bigint AND extracted >= 0 AND extracted <= '10000000000'::bigint AND bytes >= '-1000000000000000'::bigint AND bytes <= '1000000000000000'::bigint AND change_seq >= 0 AND change_seq <= '1000000000000000'::bigint AND forget_seq >= 0 AND forget_seq <= '1000000000000000'::bigint AND abandoned_leases >= 0 AND abandoned_leases <= 1000000000 AND recorded_at >= '2000-01-01 00:00:00+00'::timestamp with time zone AND recorded_at <= '9000-01-01 00:00:00+00'::timestamp with time zone AND due_at >= '2000-01-01 00:00:00+00'::timestamp with time zone AND due_at <= '9000-01-01 00:00:00+00'::timestamp with time zone AND leased_until >= '2000-01-01 00:00:00+00'::timestamp with time zone AND leased_until <= '9000-01-01 00:00:00+00'::timestamp with time zone) NOT VALID,
    CONSTRAINT users_tenant_id_check CHECK (tenant_id <> ''::text),
    CONSTRAINT users_user_id_check CHECK (user_id <> ''::text)
) WITH (fillfactor=70);
CREATE INDEX users_due ON users USING btree (backfill, due_at) WHERE (due_at IS NOT NULL);
-- The tenants with due users, and within each of them who has waited longest.
CREATE INDEX users_turns ON users USING btree (backfill, tenant_id, due_at) WHERE (due_at IS NOT NULL);
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON users FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON users TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY holding ON users FOR UPDATE TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY leasing ON users FOR SELECT TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY worker ON users TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON users TO memory_backup;
GRANT INSERT, SELECT ON users TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON users TO memory_worker;
CREATE CONSTRAINT TRIGGER notify_due_on_insert AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.due_at IS NOT NULL) EXECUTE FUNCTION notify_channel('memory_due');
CREATE CONSTRAINT TRIGGER notify_due_on_update AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (old.due_at IS NULL AND new.due_at IS NOT NULL OR new.due_at < old.due_at) EXECUTE FUNCTION notify_channel('memory_due');

-- One conversation: how long it is, and its rolling summary.
CREATE TABLE sessions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    agent_id text,
    -- How many ordinals were handed out; the next interaction gets length + 1.
    length integer NOT NULL DEFAULT 0,
    -- When the first interaction happened, not when it came in.
    started_at timestamptz NOT NULL,
    -- When the last interaction happened.
    last_at timestamptz NOT NULL,
    -- When the working memory of the session ends; the log stays.
    expires_at timestamptz,
    closed_at timestamptz,
    -- The rolling summary of the ordinals up to summary_through.
    summary text NOT NULL DEFAULT ''::text,
    summary_through integer NOT NULL DEFAULT 0,
    -- The ids of the interactions that the summary quotes, line by line.
    summary_sources text[] NOT NULL DEFAULT '{}'::text[],
    CONSTRAINT sessions_pkey PRIMARY KEY (tenant_id, user_id, session_id),
    CONSTRAINT sessions_session_id_check CHECK (session_id <> ''::text)
) WITH (fillfactor=70);
-- Sessions to close. None of its columns changes while a session goes on, so updates stay HOT.
CREATE INDEX sessions_open ON sessions USING btree (tenant_id, user_id, session_id) WHERE (closed_at IS NULL);
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON sessions FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON sessions TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON sessions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON sessions TO memory_backup;
GRANT INSERT, SELECT ON sessions TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON sessions TO memory_worker;

-- What an agent keeps of a session's task, by key.
CREATE TABLE task_state (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT task_state_pkey PRIMARY KEY (tenant_id, user_id, session_id, key),
    CONSTRAINT task_state_key_check CHECK (key <> ''::text)
);
ALTER TABLE task_state ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON task_state FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON task_state TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON task_state TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON task_state TO memory_backup;
GRANT INSERT, SELECT ON task_state TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON task_state TO memory_worker;

-- One immutable event between a user and an agent. No foreign key leads here from evidence or
-- assertions: an interaction can be forgotten while a memory that rests on others stays.
CREATE TABLE interactions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    session_id text NOT NULL,
    -- The place in its session: 1, 2, 3 …
    ordinal integer NOT NULL,
    -- The place in the user's log: 1, 2, 3 …
    position bigint NOT NULL,
    interaction_id text NOT NULL,
    agent_id text,
    -- Shown to the agent it was said to and to no other.
    private boolean NOT NULL,
    -- What happened; a note is what an app asks to remember.
    kind text NOT NULL,
    role text NOT NULL,
    -- The name of who speaks, where several people do.
    actor text,
    content text NOT NULL,
    payload jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    -- How it came in: the client, the bus or an import.
    source text NOT NULL,
    -- Of all that makes the event: a known id with another hash is a conflict.
    content_hash bytea NOT NULL,
    -- The W3C trace context the event came with. It is kept beside the event and is no part of it:
    -- a retry under another trace is the same event, so neither column counts in the hash.
    traceparent text,
    tracestate text,
    -- The interaction counts for nothing since then; NULL: it counts.
    retracted_at timestamptz,
    -- How far the clock of occurred_at is ahead of UTC, in minutes; NULL: recorded before it was
    -- kept.
    utc_offset smallint DEFAULT 0,
    CONSTRAINT interactions_pkey PRIMARY KEY (tenant_id, user_id, session_id, ordinal),
    CONSTRAINT interactions_tenant_id_user_id_interaction_id_key UNIQUE (tenant_id, user_id, interaction_id),
    CONSTRAINT interactions_interaction_id_check CHECK (interaction_id <> ''::text),
    CONSTRAINT interactions_kind_check CHECK (kind = ANY (ARRAY['message'::text, 'tool_call'::text, 'tool_result'::text, 'retrieval'::text, 'feedback'::text, 'model_call'::text, 'note'::text])) NOT VALID,
    CONSTRAINT interactions_ordinal_check CHECK (ordinal > 0),
    CONSTRAINT interactions_position_check CHECK ("position" > 0),
    CONSTRAINT interactions_role_check CHECK (role = ANY (ARRAY['user'::text, 'assistant'::text, 'system'::text, 'tool'::text]))
);
-- Names to keep out of the collective tier.
CREATE INDEX interactions_actors ON interactions USING btree (tenant_id, actor) WHERE (actor IS NOT NULL);
CREATE INDEX interactions_retracted ON interactions USING btree (tenant_id, user_id, interaction_id) WHERE (retracted_at IS NOT NULL);
-- What a user did rather than said, for extractors that look at all of a user's history.
CREATE INDEX interactions_without_messages ON interactions USING btree (tenant_id, user_id, "position") WHERE (kind <> 'message'::text);
ALTER TABLE interactions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON interactions FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON interactions TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON interactions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON interactions TO memory_backup;
GRANT INSERT, SELECT ON interactions TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON interactions TO memory_worker;

-- Each time an interaction was retracted: who said so, why, and until when. A retracted interaction
-- stays in the log and counts for nothing.
CREATE TABLE retractions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    interaction_id text NOT NULL,
    retracted_at timestamptz NOT NULL,
    retracted_by text NOT NULL,
    reason text NOT NULL,
    -- The interaction counts again since then; NULL: it does not.
    restored_at timestamptz,
    restored_by text,
    restored_reason text,
    CONSTRAINT retractions_pkey PRIMARY KEY (tenant_id, user_id, interaction_id, retracted_at),
    CONSTRAINT retractions_restored_after CHECK (restored_at IS NULL OR restored_at >= retracted_at)
);
ALTER TABLE retractions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON retractions FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON retractions TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON retractions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON retractions TO memory_backup;
GRANT INSERT, SELECT ON retractions TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON retractions TO memory_worker;

-- The ids of interactions that were forgotten, as digests. They stay forgotten when they are
-- delivered again, and account for the ordinals they leave open.
CREATE TABLE tombstones (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    id_digest bytea NOT NULL,
    session_id text,
    ordinal integer,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tombstones_pkey PRIMARY KEY (tenant_id, user_id, id_digest)
);
ALTER TABLE tombstones ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON tombstones FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON tombstones TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON tombstones TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON tombstones TO memory_backup;
GRANT INSERT, SELECT ON tombstones TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON tombstones TO memory_worker;

-- ======== beliefs

-- What extractors asserted, as they asserted it. Beliefs are a fold over the assertions of one
-- belief key, so a late arrival or a retraction is the same fold over another set.
CREATE TABLE assertions (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    -- A digest of what the belief is about: its subject, attribute and context.
    belief_key bytea NOT NULL,
    -- A digest of what it says and what it rests on.
    assertion_id bytea NOT NULL,
    -- Of the newest interaction it rests on.
    position bigint NOT NULL,
    candidate jsonb NOT NULL,
    provenance jsonb NOT NULL,
    extractor text NOT NULL,
    -- Of all the interactions it rests on.
    interaction_ids text[] NOT NULL,
    -- When the log learned it.
    recorded_at timestamptz NOT NULL,
    -- Of its least trusted evidence; NULL: made before origins were kept.
    origin text,
    -- A digest of what it proposes and whose words propose it, where its origin may found no
    -- belief: it counts once review_decisions approves it. NULL: it counts by itself.
    proposal bytea,
    CONSTRAINT assertions_pkey PRIMARY KEY (tenant_id, user_id, generation, belief_key, assertion_id)
);
-- What waits for review, repetitions side by side.
CREATE INDEX assertions_proposals ON assertions USING btree (tenant_id, proposal, recorded_at) WHERE (proposal IS NOT NULL);
ALTER TABLE assertions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON assertions FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON assertions TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON assertions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON assertions TO memory_backup;
GRANT INSERT, SELECT ON assertions TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON assertions TO memory_worker;

-- One version of one belief. A belief that changes is closed, and another row takes its place.
CREATE TABLE memories (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    -- Taken from users.change_seq.
    memory_id bigint NOT NULL,
    generation smallint NOT NULL,
    belief_key bytea NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    -- What the memory is about, such as lives_in; NULL: free text.
    attribute text,
    value text,
    -- Whom the memory is about; NULL: the user.
    subject text,
    -- Where it holds, such as at work; NULL: everywhere.
    context text,
    -- The attribute has one value at a time.
    single_valued boolean NOT NULL,
    -- The one agent it serves; NULL: every agent of the tenant.
    agent_id text,
    session_id text,
    -- Of its first evidence in session_id; the last is ordinal_to.
    ordinal integer,
    ordinal_to integer,
    confidence real NOT NULL,
    -- What the memory is worth now; the decay job lowers it.
    importance real NOT NULL,
    -- What the memory was worth before time lowered it; NULL: importance still says so.
    initial_importance real,
    -- How many interactions support it.
    support integer NOT NULL,
    -- An estimate of what its text takes in a context.
    tokens integer NOT NULL,
    payload jsonb NOT NULL,
    -- The words recall searches, in the language of the store.
    lexemes tsvector NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- When it began to hold in the world; valid_to: when it ended.
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    -- When this version began to be believed; believed_to: when it was closed.
    believed_from timestamptz NOT NULL,
    believed_to timestamptz,
    -- The memory whose place it took.
    supersedes bigint,
    -- The values that rival it where nothing decides between them.
    contested text[] NOT NULL DEFAULT '{}'::text[],
    -- Recall leaves it out since then, for want of importance.
    archived_at timestamptz,
    extractor text NOT NULL,
    extractor_version text NOT NULL,
    prompt text,
    prompt_version text,
    prompt_hash text,
    model text,
    -- Of its least trusted evidence; NULL: made before origins were kept.
    origin text,
    CONSTRAINT memories_pkey PRIMARY KEY (tenant_id, user_id, memory_id),
    CONSTRAINT memories_believed_in_order CHECK (believed_to IS NULL OR believed_to >= believed_from),
    CONSTRAINT memories_confidence_check CHECK (confidence >= 0::double precision AND confidence <= 1::double precision),
    CONSTRAINT memories_importance_check CHECK (importance >= 0::double precision AND importance <= 1::double precision),
    CONSTRAINT memories_initial_importance_check CHECK (initial_importance >= 0::double precision AND initial_importance <= 1::double precision),
    CONSTRAINT memories_kind_check CHECK (kind = ANY (ARRAY['episode'::text, 'fact'::text, 'preference'::text, 'procedure'::text, 'summary'::text])),
    CONSTRAINT memories_support_check CHECK (support > 0),
    CONSTRAINT memories_valid_in_order CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
-- What recall scans: one user's current beliefs, exactly. There is no index over vectors or lexemes
-- on purpose; see docs/design.md.
CREATE INDEX memories_current ON memories USING btree (tenant_id, user_id, generation, memory_id) WHERE ((believed_to IS NULL) AND (archived_at IS NULL));
-- The same belief is never believed twice at once. A digest of the value, since an index row has to
-- fit a page.
CREATE UNIQUE INDEX memories_one_belief ON memories USING btree (tenant_id, user_id, generation, belief_key, valid_from, text_digest(COALESCE(value, ''::text))) WHERE (believed_to IS NULL);
-- What promotion counts, attribute by attribute. Longer attributes are not promoted: an index row
-- has to fit a page.
CREATE INDEX memories_promotable ON memories USING btree (tenant_id, generation, attribute, user_id) WHERE ((believed_to IS NULL) AND (archived_at IS NULL) AND (subject IS NULL) AND (agent_id IS NULL) AND (value IS NOT NULL) AND (length(attribute) <= 100));
-- Names to keep out of the collective tier. Longer subjects are no names: an index row has to fit a
-- page.
CREATE INDEX memories_subjects ON memories USING btree (tenant_id, subject) WHERE ((subject IS NOT NULL) AND (length(subject) <= 200));
ALTER TABLE memories ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON memories FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON memories TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON memories TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON memories TO memory_backup;
GRANT INSERT, SELECT ON memories TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON memories TO memory_worker;
CREATE TRIGGER changes_on_delete AFTER DELETE ON memories REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION record_deleted_memories();
CREATE TRIGGER changes_on_insert AFTER INSERT ON memories REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION record_inserted_memories();
CREATE TRIGGER changes_on_update AFTER UPDATE ON memories REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION record_updated_memories();
CREATE TRIGGER invalidate_block_on_update AFTER UPDATE ON memories FOR EACH ROW WHEN ((old.believed_to IS NULL AND old.archived_at IS NULL) IS DISTINCT FROM (new.believed_to IS NULL AND new.archived_at IS NULL) OR old.agent_id IS DISTINCT FROM new.agent_id OR old.session_id IS DISTINCT FROM new.session_id OR old.ordinal IS DISTINCT FROM new.ordinal OR old.ordinal_to IS DISTINCT FROM new.ordinal_to OR old.attribute IS DISTINCT FROM new.attribute OR old.lexemes IS DISTINCT FROM new.lexemes) EXECUTE FUNCTION invalidate_block();
CREATE TRIGGER invalidate_blocks_on_delete AFTER DELETE ON memories REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION invalidate_blocks();
CREATE TRIGGER invalidate_blocks_on_insert AFTER INSERT ON memories REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION invalidate_blocks();

-- The words of an interaction that speak for or against a memory.
CREATE TABLE evidence (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    memory_id bigint NOT NULL,
    interaction_id text NOT NULL,
    -- In characters of the interaction's content, from 0; end_offset is the first one after.
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    -- Those words; empty once retention has removed them.
    quote text NOT NULL,
    stance text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    -- Whose words these are; NULL: made before origins were kept.
    origin text,
    CONSTRAINT evidence_pkey PRIMARY KEY (tenant_id, user_id, memory_id, interaction_id, start_offset, stance),
    CONSTRAINT evidence_tenant_id_user_id_memory_id_fkey FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories(tenant_id, user_id, memory_id) ON DELETE CASCADE,
    CONSTRAINT evidence_offsets_in_order CHECK (start_offset >= 0 AND end_offset >= start_offset),
    CONSTRAINT evidence_stance_check CHECK (stance = ANY (ARRAY['supports'::text, 'contradicts'::text]))
);
CREATE INDEX evidence_interaction ON evidence USING btree (tenant_id, user_id, interaction_id);
ALTER TABLE evidence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON evidence FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON evidence TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON evidence TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON evidence TO memory_backup;
GRANT INSERT, SELECT ON evidence TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON evidence TO memory_worker;

-- The vectors of memories. Recall reads those of one embedder and one generation, however many
-- others there are.
CREATE TABLE embeddings (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    embedder_id smallint NOT NULL,
    generation smallint NOT NULL,
    memory_id bigint NOT NULL,
    -- Of no fixed dimension, so that vectors of another embedder can be made beside those that
    -- serve.
    vector halfvec NOT NULL,
    CONSTRAINT embeddings_pkey PRIMARY KEY (tenant_id, user_id, embedder_id, generation, memory_id),
    CONSTRAINT embeddings_embedder_id_fkey FOREIGN KEY (embedder_id) REFERENCES embedders(embedder_id),
    CONSTRAINT embeddings_tenant_id_user_id_memory_id_fkey FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories(tenant_id, user_id, memory_id) ON DELETE CASCADE
);
ALTER TABLE embeddings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON embeddings FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON embeddings TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON embeddings TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON embeddings TO memory_backup;
GRANT INSERT, SELECT ON embeddings TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON embeddings TO memory_worker;

-- How far each generation has read each session; it commits with the memories it made.
CREATE TABLE session_progress (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    -- The session; empty where extraction reads the user as a whole.
    session_id text NOT NULL,
    -- The last ordinal that was read.
    ordinal integer NOT NULL DEFAULT 0,
    -- How many attempts failed since the last that did not.
    attempts integer NOT NULL DEFAULT 0,
    error text,
    -- Extraction gave up on the session then; an operator lets it try again.
    set_aside_at timestamptz,
    -- A session that failed is not read before then.
    retry_at timestamptz,
    -- A session that was rewound had been read up to here, so what is made of it again takes the
    -- place of all that was made of it then.
    reread_through integer NOT NULL DEFAULT 0,
    -- When the newest retraction or restoration rewound the session; what is made of it again is
    -- believed from then on.
    reread_at timestamptz,
    -- How often the session was begun after an abandoned lease, with no word of it since.
    crash_count integer NOT NULL DEFAULT 0,
    -- The first ordinal that was read without the model that is configured; NULL: there is none.
    fallback_from integer,
    -- The last such ordinal.
    fallback_through integer,
    -- Why the model did not read them.
    fallback_reason text,
    CONSTRAINT session_progress_pkey PRIMARY KEY (tenant_id, user_id, generation, session_id),
    CONSTRAINT session_progress_fallback_is_whole CHECK ((fallback_from IS NULL) = (fallback_through IS NULL) AND (fallback_from IS NULL) = (fallback_reason IS NULL)),
    CONSTRAINT session_progress_plausible CHECK (attempts >= 0 AND attempts <= 1000000000 AND crash_count >= 0 AND crash_count <= 1000000000 AND retry_at >= '2000-01-01 00:00:00+00'::timestamp with time zone AND retry_at <= '9000-01-01 00:00:00+00'::timestamp with time zone) NOT VALID
);
CREATE INDEX session_progress_fallbacks ON session_progress USING btree (tenant_id, user_id) WHERE (fallback_from IS NOT NULL);
CREATE INDEX session_progress_set_aside ON session_progress USING btree (tenant_id, set_aside_at) WHERE (set_aside_at IS NOT NULL);
ALTER TABLE session_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON session_progress FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON session_progress TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY counting ON session_progress FOR SELECT TO memory_worker USING (bound_tenant() IS NULL AND set_aside_at IS NOT NULL);
CREATE POLICY worker ON session_progress TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON session_progress TO memory_backup;
GRANT INSERT, SELECT ON session_progress TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON session_progress TO memory_worker;

-- Beliefs a user asked to forget while the messages behind them stay. Replay respects them.
CREATE TABLE forgotten_beliefs (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    belief_key bytea NOT NULL,
    -- A digest, so that the value itself is gone.
    value_digest bytea NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT forgotten_beliefs_pkey PRIMARY KEY (tenant_id, user_id, belief_key, value_digest)
);
ALTER TABLE forgotten_beliefs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON forgotten_beliefs FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON forgotten_beliefs TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON forgotten_beliefs TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON forgotten_beliefs TO memory_backup;
GRANT INSERT, SELECT ON forgotten_beliefs TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON forgotten_beliefs TO memory_worker;

-- When a memory was last of use, and how often.
CREATE TABLE memory_usage (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    memory_id bigint NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    uses integer NOT NULL DEFAULT 1,
    CONSTRAINT memory_usage_pkey PRIMARY KEY (tenant_id, user_id, memory_id),
    CONSTRAINT memory_usage_tenant_id_user_id_memory_id_fkey FOREIGN KEY (tenant_id, user_id, memory_id) REFERENCES memories(tenant_id, user_id, memory_id) ON DELETE CASCADE
) WITH (fillfactor=70);
ALTER TABLE memory_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON memory_usage FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON memory_usage TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON memory_usage TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON memory_usage TO memory_backup;
GRANT INSERT, SELECT ON memory_usage TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON memory_usage TO memory_worker;

-- What recall reads of 256 memories at once, where it would read 256 rows. A block says only what
-- memories says: a memory that comes, goes or changes removes its block in the same transaction,
-- recall reads row by row what no block holds, and build_block makes blocks anew, out of anybody's
-- way.
CREATE TABLE recall_blocks (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    generation smallint NOT NULL,
    -- It holds the current memories with ids from 256 * block on, in the order of their ids.
    block bigint NOT NULL,
    -- 25 bytes for each memory, made by encode_member; NULL: to be read row by row.
    members bytea STORAGE EXTERNAL,
    -- Each lexeme with the places, from 1, of the members that hold it.
    postings tsvector STORAGE EXTERNAL,
    CONSTRAINT recall_blocks_pkey PRIMARY KEY (tenant_id, user_id, generation, block)
);
ALTER TABLE recall_blocks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON recall_blocks FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON recall_blocks TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON recall_blocks TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON recall_blocks TO memory_backup;
GRANT INSERT, SELECT ON recall_blocks TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON recall_blocks TO memory_worker;

-- ======== collective

-- The policy of each tenant, and what its collective tier needs.
CREATE TABLE tenants (
    tenant_id text NOT NULL,
    -- Retention, k and the rest, as the operators' jobs read it. A check covers the numbers that
    -- forgetting reads: a policy that cannot be read must not get in its way.
    policy jsonb NOT NULL DEFAULT '{}'::jsonb,
    -- Hands out the ids of collective memories.
    change_seq bigint NOT NULL DEFAULT 0,
    -- Thresholds of the collective tier move by digests under this secret: whoever knows all
    -- supporters but one still does not know at which count the next belief is published or
    -- withdrawn.
    secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
    CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenants_policy_valid CHECK (jsonb_typeof(policy) = 'object'::text AND COALESCE((policy ->> 'k'::text)::integer, 5) >= 2 AND COALESCE((policy ->> 'jitter'::text)::integer, 0) >= 0 AND COALESCE((policy ->> 'jitter'::text)::integer, 0) <= 1000),
    CONSTRAINT tenants_sensitive_valid CHECK (NOT policy ? 'sensitive'::text OR jsonb_typeof(policy -> 'sensitive'::text) = 'object'::text AND NOT jsonb_path_exists(policy, '$."sensitive".*?(((@ != "keep" && @ != "mask") && @ != "mask_in_log") && @ != "refuse")'::jsonpath)),
    CONSTRAINT tenants_tenant_id_check CHECK (tenant_id <> ''::text)
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON tenants FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON tenants FOR SELECT TO memory_client USING (tenant_id = bound_tenant());
CREATE POLICY worker ON tenants TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON tenants TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON tenants TO memory_worker;

-- What at least k users of a tenant hold.
CREATE TABLE collective_memories (
    tenant_id text NOT NULL,
    memory_id bigint NOT NULL,
    -- The live generation under which it was published. The tier is one, whichever generation of a
    -- user it counted.
    generation smallint NOT NULL,
    belief_key bytea NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    attribute text NOT NULL,
    value text NOT NULL,
    context text,
    confidence real NOT NULL,
    -- As published: rounded, never the exact count.
    support integer NOT NULL,
    -- What its supporters are called.
    people text NOT NULL DEFAULT 'users'::text,
    -- The kinds of interaction that k supporters share as evidence.
    evidence_kinds text[] NOT NULL DEFAULT '{}'::text[],
    tokens integer NOT NULL,
    lexemes tsvector NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz,
    believed_from timestamptz NOT NULL,
    believed_to timestamptz,
    extractor text NOT NULL,
    extractor_version text NOT NULL,
    CONSTRAINT collective_memories_pkey PRIMARY KEY (tenant_id, memory_id),
    CONSTRAINT collective_memories_confidence_check CHECK (confidence >= 0::double precision AND confidence <= 1::double precision),
    CONSTRAINT collective_memories_kind_check CHECK (kind = ANY (ARRAY['fact'::text, 'preference'::text, 'procedure'::text]))
);
CREATE UNIQUE INDEX collective_memories_one_belief ON collective_memories USING btree (tenant_id, belief_key) WHERE (believed_to IS NULL);
ALTER TABLE collective_memories ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON collective_memories FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON collective_memories FOR SELECT TO memory_client USING (tenant_id = bound_tenant() AND believed_to IS NULL);
CREATE POLICY worker ON collective_memories TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_memories TO memory_backup;
GRANT SELECT ON collective_memories TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON collective_memories TO memory_worker;
CREATE TRIGGER invalidate_block_on_update AFTER UPDATE ON collective_memories FOR EACH ROW WHEN ((old.believed_to IS NULL) IS DISTINCT FROM (new.believed_to IS NULL) OR old.lexemes IS DISTINCT FROM new.lexemes) EXECUTE FUNCTION invalidate_collective_block();
CREATE TRIGGER invalidate_blocks_on_delete AFTER DELETE ON collective_memories REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION invalidate_collective_blocks();
CREATE TRIGGER invalidate_blocks_on_insert AFTER INSERT ON collective_memories REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION invalidate_collective_blocks();

-- The vectors of collective memories.
CREATE TABLE collective_embeddings (
    tenant_id text NOT NULL,
    embedder_id smallint NOT NULL,
    memory_id bigint NOT NULL,
    vector halfvec NOT NULL,
    CONSTRAINT collective_embeddings_pkey PRIMARY KEY (tenant_id, embedder_id, memory_id),
    CONSTRAINT collective_embeddings_embedder_id_fkey FOREIGN KEY (embedder_id) REFERENCES embedders(embedder_id),
    CONSTRAINT collective_embeddings_tenant_id_memory_id_fkey FOREIGN KEY (tenant_id, memory_id) REFERENCES collective_memories(tenant_id, memory_id) ON DELETE CASCADE
);
ALTER TABLE collective_embeddings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON collective_embeddings FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON collective_embeddings FOR SELECT TO memory_client USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_embeddings TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_embeddings TO memory_backup;
GRANT SELECT ON collective_embeddings TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON collective_embeddings TO memory_worker;

-- What a question looks at of 256 collective memories at once, where it would read 256 rows. As in
-- recall_blocks, a memory that comes, goes or is worded anew removes its block in the same
-- transaction; the promote job makes blocks.
CREATE TABLE collective_blocks (
    tenant_id text NOT NULL,
    -- It holds the tenant's current collective memories with ids from 256 * block on.
    block bigint NOT NULL,
    member_count integer NOT NULL,
    -- The sum of word_counts.
    word_total bigint NOT NULL,
    -- How many lexemes each memory has, by its place in the block; 0 where there is no memory.
    word_counts integer[] STORAGE MAIN NOT NULL,
    -- Each lexeme with the places of the memories that hold it, which are their ids % 256 + 1;
    -- NULL: to be read row by row.
    postings tsvector STORAGE EXTERNAL,
    CONSTRAINT collective_blocks_pkey PRIMARY KEY (tenant_id, block)
);
ALTER TABLE collective_blocks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON collective_blocks FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON collective_blocks FOR SELECT TO memory_client USING (tenant_id = bound_tenant());
CREATE POLICY worker ON collective_blocks TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_blocks TO memory_backup;
GRANT SELECT ON collective_blocks TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON collective_blocks TO memory_worker;

-- Who supports what. The worker counts it; no client ever reads it.
CREATE TABLE collective_support (
    tenant_id text NOT NULL,
    memory_id bigint NOT NULL,
    user_id text NOT NULL,
    user_memory_id bigint NOT NULL,
    CONSTRAINT collective_support_pkey PRIMARY KEY (tenant_id, memory_id, user_id),
    CONSTRAINT collective_support_tenant_id_memory_id_fkey FOREIGN KEY (tenant_id, memory_id) REFERENCES collective_memories(tenant_id, memory_id) ON DELETE CASCADE
);
CREATE INDEX collective_support_user ON collective_support USING btree (tenant_id, user_id);
ALTER TABLE collective_support ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON collective_support FOR SELECT TO memory_backup USING (true);
CREATE POLICY worker ON collective_support TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_support TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON collective_support TO memory_worker;

-- What was withdrawn: how often, for fresh thresholds each time, and when, so that nothing comes
-- back at once.
CREATE TABLE collective_withdrawals (
    tenant_id text NOT NULL,
    -- A digest of the belief that only the tenant's secret can make again.
    belief_digest bytea NOT NULL,
    withdrawal_count integer NOT NULL DEFAULT 1,
    withdrawn_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT collective_withdrawals_pkey PRIMARY KEY (tenant_id, belief_digest)
);
ALTER TABLE collective_withdrawals ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON collective_withdrawals FOR SELECT TO memory_backup USING (true);
CREATE POLICY worker ON collective_withdrawals TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON collective_withdrawals TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON collective_withdrawals TO memory_worker;

-- How far an operators' job has come in a tenant, and which process runs it.
CREATE TABLE job_progress (
    tenant_id text NOT NULL,
    job text NOT NULL,
    -- What the next run goes on after; empty: from the start.
    cursor text NOT NULL DEFAULT ''::text,
    lease_token uuid,
    leased_until timestamptz,
    finished_at timestamptz,
    CONSTRAINT job_progress_pkey PRIMARY KEY (tenant_id, job)
);
ALTER TABLE job_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON job_progress FOR SELECT TO memory_backup USING (true);
CREATE POLICY worker ON job_progress TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON job_progress TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON job_progress TO memory_worker;

-- ======== changes

-- Whether changes are kept, and which process publishes them. It has one row.
CREATE TABLE change_stream (
    singleton boolean NOT NULL DEFAULT true,
    -- NULL: changes are not kept, since what nobody publishes would grow for ever.
    enabled_at timestamptz,
    lease_token uuid,
    leased_until timestamptz,
    CONSTRAINT change_stream_pkey PRIMARY KEY (singleton),
    CONSTRAINT change_stream_singleton_check CHECK (singleton)
);
GRANT SELECT ON change_stream TO memory_backup;
GRANT SELECT ON change_stream TO memory_client;
GRANT SELECT, UPDATE ON change_stream TO memory_worker;

-- How many changes a user's memories went through, and how many of them were published. A row of
-- its own rather than the user's, which every record() wants.
CREATE TABLE change_cursors (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    last_seq bigint NOT NULL DEFAULT 0,
    published_seq bigint NOT NULL DEFAULT 0,
    -- Of the oldest change that is not published.
    waiting_since timestamptz,
    CONSTRAINT change_cursors_pkey PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT change_cursors_plausible CHECK (char_length(user_id) <= 200 AND last_seq >= 0 AND last_seq <= '1000000000000000'::bigint AND published_seq >= 0 AND published_seq <= '1000000000000000'::bigint AND waiting_since >= '2000-01-01 00:00:00+00'::timestamp with time zone AND waiting_since <= '9000-01-01 00:00:00+00'::timestamp with time zone) NOT VALID
);
CREATE INDEX change_cursors_waiting ON change_cursors USING btree (waiting_since) WHERE (waiting_since IS NOT NULL);
ALTER TABLE change_cursors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON change_cursors FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON change_cursors TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY publishing ON change_cursors FOR SELECT TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY worker ON change_cursors TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON change_cursors TO memory_backup;
GRANT INSERT, SELECT ON change_cursors TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON change_cursors TO memory_worker;
CREATE CONSTRAINT TRIGGER notify_changes_on_insert AFTER INSERT ON change_cursors DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (new.waiting_since IS NOT NULL) EXECUTE FUNCTION notify_channel('memory_changes');
CREATE CONSTRAINT TRIGGER notify_changes_on_update AFTER UPDATE ON change_cursors DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (old.waiting_since IS NULL AND new.waiting_since IS NOT NULL) EXECUTE FUNCTION notify_channel('memory_changes');

-- The changes that wait to be published, each user's in order.
CREATE TABLE changes (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    -- 1, 2, 3 … of the user, without gaps.
    seq bigint NOT NULL,
    change text NOT NULL,
    -- NULL: the change is of no single memory.
    memory_id bigint,
    generation smallint NOT NULL,
    -- The memory that took its place.
    successor bigint,
    -- The memory as it is now; NULL where it is gone.
    memory jsonb,
    changed_at timestamptz NOT NULL DEFAULT now(),
    -- The transaction that made the change: a later statement of it may say better what it was.
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT changes_pkey PRIMARY KEY (tenant_id, user_id, seq),
    CONSTRAINT changes_change_check CHECK (change = ANY (ARRAY['reset'::text, 'added'::text, 'reinforced'::text, 'superseded'::text, 'withdrawn'::text, 'forgotten'::text]))
);
CREATE INDEX changes_memory ON changes USING btree (tenant_id, user_id, memory_id);
ALTER TABLE changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON changes FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON changes TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON changes TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON changes TO memory_backup;
GRANT INSERT, SELECT ON changes TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON changes TO memory_worker;

-- ======== bus

-- How far each partition of a topic was applied. Postgres owns the offset: it commits with the rows
-- it brought, and only for the owner of the epoch.
CREATE TABLE partition_offsets (
    cluster_id text NOT NULL,
    -- Kafka's own id, so that a topic made again under an old name starts anew.
    topic_id text NOT NULL,
    partition integer NOT NULL,
    topic text NOT NULL,
    -- To be read next; NULL: not even begun.
    next_offset bigint,
    -- Each process that takes the partition over raises it.
    epoch bigint NOT NULL DEFAULT 1,
    -- The process that reads the partition.
    owner text NOT NULL,
    -- The broker's time of the newest record applied.
    record_time timestamptz,
    -- How many records went into the log; duplicates, forgotten and set_aside count the others.
    appended bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    forgotten bigint NOT NULL DEFAULT 0,
    set_aside bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT partition_offsets_pkey PRIMARY KEY (cluster_id, topic_id, partition),
    CONSTRAINT partition_offsets_cluster_id_check CHECK (cluster_id <> ''::text),
    CONSTRAINT partition_offsets_next_offset_check CHECK (next_offset >= 0),
    CONSTRAINT partition_offsets_partition_check CHECK (partition >= 0),
    CONSTRAINT partition_offsets_topic_id_check CHECK (topic_id <> ''::text)
) WITH (fillfactor=50);
GRANT SELECT ON partition_offsets TO memory_backup;
GRANT SELECT ON partition_offsets TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON partition_offsets TO memory_worker;

-- Messages that could not be applied, as they were. Whose they are is kept where it can be told, so
-- that forgetting a user reaches them; nothing is kept of an id that was forgotten.
CREATE TABLE dead_letters (
    dead_letter_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    cluster_id text NOT NULL,
    topic_id text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    topic text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    value bytea,
    -- Pairs of a name and its value in base64, in their order.
    headers jsonb NOT NULL DEFAULT '[]'::jsonb,
    tenant_id text,
    user_id text,
    session_id text,
    interaction_id text,
    record_time timestamptz,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    -- When the dead-letter topic got it.
    sent_at timestamptz,
    -- When it went into the log after all.
    redriven_at timestamptz,
    CONSTRAINT dead_letters_pkey PRIMARY KEY (cluster_id, topic_id, partition, record_offset),
    CONSTRAINT dead_letters_dead_letter_id_key UNIQUE (dead_letter_id),
    CONSTRAINT dead_letters_reason_check CHECK (reason = ANY (ARRAY['oversize'::text, 'not_json'::text, 'unknown_version'::text, 'invalid'::text, 'wrong_key'::text, 'future'::text, 'conflict'::text, 'no_value'::text, 'refused'::text, 'unlisted_tenant'::text, 'suspended_tenant'::text, 'over_quota'::text, 'sensitive'::text]))
);
CREATE INDEX dead_letters_unsent ON dead_letters USING btree (dead_letter_id) WHERE (sent_at IS NULL);
CREATE INDEX dead_letters_users ON dead_letters USING btree (tenant_id, user_id);
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON dead_letters FOR SELECT TO memory_backup USING (true);
CREATE POLICY worker ON dead_letters TO memory_worker USING (tenant_id = bound_tenant() OR bound_tenant() IS NULL);
GRANT SELECT ON dead_letters TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON dead_letters TO memory_worker;

-- ======== models

-- Prompts as they read at their first use. The same version never reads otherwise.
CREATE TABLE prompts (
    name text NOT NULL,
    version text NOT NULL,
    hash text NOT NULL,
    text text NOT NULL,
    -- The JSON schema that answers have to fit.
    response jsonb NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT prompts_pkey PRIMARY KEY (name, version),
    CONSTRAINT prompts_name_check CHECK (name <> ''::text),
    CONSTRAINT prompts_version_check CHECK (version <> ''::text)
);
GRANT SELECT ON prompts TO memory_backup;
GRANT SELECT ON prompts TO memory_client;
GRANT INSERT, SELECT ON prompts TO memory_worker;

-- Every model call made over one user's log, cached ones included. It goes with the user.
CREATE TABLE model_calls (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    call_id uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id text,
    called_at timestamptz NOT NULL DEFAULT now(),
    generation smallint NOT NULL,
    task text NOT NULL,
    prompt text NOT NULL,
    prompt_version text NOT NULL,
    prompt_hash text NOT NULL,
    model text NOT NULL,
    outcome text NOT NULL,
    cached boolean NOT NULL,
    -- How many were sent for the call, retries included.
    requests integer NOT NULL,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cost double precision NOT NULL,
    seconds double precision NOT NULL,
    -- How many proposals had quotes that were found in the log.
    kept integer,
    -- How many proposals were not believed, by reason.
    refused jsonb,
    -- What an unusable answer said; NULL: it was usable.
    answer text,
    -- Why there was no usable answer, or why it had to be repaired; NULL: it was usable at once.
    reason text,
    -- What the server said, and what was done to get and read the answer.
    detail text,
    CONSTRAINT model_calls_pkey PRIMARY KEY (tenant_id, user_id, call_id),
    CONSTRAINT model_calls_task_check CHECK (task = ANY (ARRAY['extract'::text, 'consolidate'::text, 'summarise'::text]))
);
CREATE INDEX model_calls_newest ON model_calls USING btree (tenant_id, called_at);
ALTER TABLE model_calls ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON model_calls FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON model_calls TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON model_calls TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON model_calls TO memory_backup;
GRANT INSERT, SELECT ON model_calls TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON model_calls TO memory_worker;

-- What was answered to what, so that replay pays only for what changed. Forgetting anything of a
-- user forgets all answers about the user.
CREATE TABLE model_answers (
    tenant_id text NOT NULL,
    user_id text NOT NULL,
    -- A digest of the prompt's hash, the model and the input.
    answer_key bytea NOT NULL,
    answer text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT model_answers_pkey PRIMARY KEY (tenant_id, user_id, answer_key)
);
ALTER TABLE model_answers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON model_answers FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON model_answers TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON model_answers TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON model_answers TO memory_backup;
GRANT INSERT, SELECT ON model_answers TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON model_answers TO memory_worker;

-- The sums over model calls. They say nothing of users and stay when a user is forgotten.
CREATE TABLE model_spend (
    tenant_id text NOT NULL,
    -- In UTC.
    day date NOT NULL,
    generation smallint NOT NULL,
    task text NOT NULL,
    prompt text NOT NULL,
    prompt_version text NOT NULL,
    prompt_hash text NOT NULL,
    model text NOT NULL,
    calls integer NOT NULL,
    cached integer NOT NULL,
    failed integer NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost double precision NOT NULL,
    seconds double precision NOT NULL,
    CONSTRAINT model_spend_pkey PRIMARY KEY (tenant_id, day, generation, task, prompt, prompt_version, model, prompt_hash)
);
ALTER TABLE model_spend ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON model_spend FOR SELECT TO memory_backup USING (true);
CREATE POLICY worker ON model_spend TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON model_spend TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON model_spend TO memory_worker;

-- ======== store identity

-- The one row that tells this store from others. A copy of the database has the same identity, so
-- consumer groups are named by it and by store_place().
CREATE TABLE store_identity (
    -- Always true: there is one row.
    only_row boolean NOT NULL DEFAULT true,
    identity uuid NOT NULL DEFAULT gen_random_uuid(),
    made_at timestamptz NOT NULL DEFAULT now(),
    -- From when on only interactions of the kind note ask for memories. Before, a message of the
    -- user's role did so by its payload.
    notes_since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT store_identity_pkey PRIMARY KEY (only_row),
    CONSTRAINT store_identity_only_row_check CHECK (only_row)
);
GRANT SELECT ON store_identity TO memory_backup;
GRANT SELECT ON store_identity TO memory_client;
GRANT SELECT, UPDATE ON store_identity TO memory_worker;

-- ======== extraction limits

-- Tenants whose extraction an operator paused or throttled. No row: neither.
CREATE TABLE extraction_limits (
    tenant_id text NOT NULL,
    -- None of its users is leased since then.
    paused_at timestamptz,
    -- NULL: any number.
    users_a_minute integer,
    -- Of those that wait when a user is leased; NULL: any number.
    interactions_a_minute integer,
    -- The next user of a throttled tenant is leased from then on.
    free_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT extraction_limits_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT extraction_limits_interactions_a_minute_check CHECK (interactions_a_minute > 0),
    CONSTRAINT extraction_limits_tenant_id_check CHECK (tenant_id <> ''::text),
    CONSTRAINT extraction_limits_users_a_minute_check CHECK (users_a_minute > 0)
);
ALTER TABLE extraction_limits ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON extraction_limits FOR SELECT TO memory_backup USING (true);
CREATE POLICY leasing ON extraction_limits FOR SELECT TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY spending ON extraction_limits FOR UPDATE TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY worker ON extraction_limits TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON extraction_limits TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON extraction_limits TO memory_worker;

-- ======== origins

-- What was decided on proposals. A decision holds for every repetition of the proposal, also one
-- that a replay makes.
CREATE TABLE review_decisions (
    tenant_id text NOT NULL,
    -- Whose proposal it is; the empty text: every user's of the tenant.
    user_id text NOT NULL,
    proposal bytea NOT NULL,
    approved boolean NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    decided_by text NOT NULL,
    reason text NOT NULL DEFAULT ''::text,
    CONSTRAINT review_decisions_pkey PRIMARY KEY (tenant_id, user_id, proposal)
);
-- Which users decided on a proposal.
CREATE INDEX review_decisions_of_tenant ON review_decisions USING btree (tenant_id, proposal);
ALTER TABLE review_decisions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON review_decisions FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON review_decisions TO memory_client USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY of_tenant ON review_decisions FOR SELECT TO memory_client USING (tenant_id = bound_tenant() AND user_id = ''::text);
CREATE POLICY worker ON review_decisions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON review_decisions TO memory_backup;
GRANT INSERT, SELECT ON review_decisions TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON review_decisions TO memory_worker;

-- ======== locks

-- Who holds a row is just about to notify of its tenant, so others of the tenant need not.
CREATE TABLE notification_turns (
    tenant_id text NOT NULL,
    channel text NOT NULL,
    CONSTRAINT notification_turns_pkey PRIMARY KEY (tenant_id, channel),
    CONSTRAINT notification_turns_tenant_id_check CHECK (tenant_id <> ''::text)
);
ALTER TABLE notification_turns ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON notification_turns FOR SELECT TO memory_backup USING (true);
CREATE POLICY notifying ON notification_turns TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY worker ON notification_turns TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON notification_turns TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON notification_turns TO memory_worker;

-- ======== tenants

-- What an operator has set for the whole store: one row.
CREATE TABLE store_settings (
    -- Always true: there is one row.
    only_row boolean NOT NULL DEFAULT true,
    -- Tenants that nobody has listed are refused.
    listed_only boolean NOT NULL DEFAULT false,
    CONSTRAINT store_settings_pkey PRIMARY KEY (only_row),
    CONSTRAINT store_settings_only_row_check CHECK (only_row)
);
GRANT SELECT ON store_settings TO memory_backup;
GRANT SELECT ON store_settings TO memory_client;
GRANT SELECT, UPDATE ON store_settings TO memory_worker;

-- Tenants that an operator listed, suspended or gave a quota. No row: none of these.
CREATE TABLE tenant_admissions (
    tenant_id text NOT NULL,
    -- NULL: refused where only listed tenants are served.
    listed_at timestamptz,
    -- Nothing of it is read or written since then, and none of its users is leased.
    suspended_at timestamptz,
    -- The quota of interactions recorded in a day in UTC; NULL: any number.
    interactions_a_day bigint,
    -- The quota of users.bytes, over all its users; NULL: any number.
    bytes_stored bigint,
    -- The quota of tokens that language models read and write in a day in UTC; NULL: any number.
    model_tokens_a_day bigint,
    -- Until then nobody asks again whether a quota is used up; NULL: whoever records next does.
    checked_until timestamptz,
    CONSTRAINT tenant_admissions_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenant_admissions_bytes_stored_check CHECK (bytes_stored >= 0),
    CONSTRAINT tenant_admissions_interactions_a_day_check CHECK (interactions_a_day >= 0),
    CONSTRAINT tenant_admissions_model_tokens_a_day_check CHECK (model_tokens_a_day >= 0),
    CONSTRAINT tenant_admissions_tenant_id_check CHECK (tenant_id <> ''::text)
);
ALTER TABLE tenant_admissions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY admitting ON tenant_admissions FOR SELECT TO memory_worker USING (bound_tenant() IS NULL);
CREATE POLICY backup ON tenant_admissions FOR SELECT TO memory_backup USING (true);
CREATE POLICY client ON tenant_admissions FOR SELECT TO memory_client USING (tenant_id = bound_tenant());
CREATE POLICY worker ON tenant_admissions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON tenant_admissions TO memory_backup;
GRANT SELECT ON tenant_admissions TO memory_client;
GRANT DELETE, INSERT, SELECT, UPDATE ON tenant_admissions TO memory_worker;

-- What each tenant has used, by day: what bills and quotas go by. It names no user, and stays when
-- one is forgotten.
CREATE TABLE tenant_usage (
    tenant_id text NOT NULL,
    -- In UTC.
    day date NOT NULL,
    -- When the day was counted last.
    counted_at timestamptz NOT NULL,
    -- How many interactions were ever recorded until then, forgotten ones too.
    recorded bigint NOT NULL,
    -- How many of them since the last count of an earlier day.
    interactions bigint NOT NULL,
    -- The bytes that the log held then; see users.bytes.
    bytes bigint NOT NULL,
    -- How many memories were believed then; NULL: not counted.
    memories bigint,
    CONSTRAINT tenant_usage_pkey PRIMARY KEY (tenant_id, day),
    CONSTRAINT tenant_usage_tenant_id_check CHECK (tenant_id <> ''::text)
);
ALTER TABLE tenant_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY backup ON tenant_usage FOR SELECT TO memory_backup USING (true);
CREATE POLICY worker ON tenant_usage TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT ON tenant_usage TO memory_backup;
GRANT DELETE, INSERT, SELECT, UPDATE ON tenant_usage TO memory_worker;

-- ======== tenant logins

-- The logins that are one tenant's. Only the owner of the schema reads and writes it.
CREATE TABLE tenant_logins (
    login name NOT NULL,
    tenant_id text NOT NULL,
    CONSTRAINT tenant_logins_pkey PRIMARY KEY (login),
    CONSTRAINT tenant_logins_tenant_id_check CHECK (tenant_id <> ''::text)
);
GRANT SELECT ON tenant_logins TO memory_backup;

-- ======== binding functions

-- The tenant that the transaction is bound to. A login that is one tenant's is bound to it, or to
-- none if nobody said to which; nothing that a session does changes that. For other logins a
-- setting says it: unset it reads as NULL, and as an empty string once a transaction has set it,
-- and neither is a tenant. A superuser is a member of every role, so the worker's role tells it
-- from such a login. In the database because row-level security calls it.
CREATE FUNCTION bound_tenant()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
    SELECT CASE
        WHEN pg_catalog.pg_has_role(session_user, 'memory_tenant_login', 'MEMBER')
            AND NOT pg_catalog.pg_has_role(session_user, 'memory_worker', 'MEMBER')
        THEN memory.tenant_of_login()
        ELSE NULLIF(pg_catalog.current_setting('memory.tenant_id', true), '') END
$function$;

-- The user that the transaction is bound to; see bound_tenant. In the database because row-level
-- security calls it.
CREATE FUNCTION bound_user()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ SELECT NULLIF(current_setting('memory.user_id', true), '') $function$;

-- Lets the client see the rows of the bound user, and the worker those of the bound tenant. In the
-- database because every migration that makes a table of users' rows calls it.
CREATE PROCEDURE protect_user_table(IN name regclass)
 LANGUAGE plpgsql
AS $procedure$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY client ON %s TO memory_client
             USING (tenant_id = bound_tenant() AND user_id = bound_user())', name);
    EXECUTE format(
        'CREATE POLICY worker ON %s TO memory_worker USING (tenant_id = bound_tenant())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO memory_client, memory_worker', name);
    CALL let_backup_read(name);
END $procedure$;
REVOKE EXECUTE ON PROCEDURE protect_user_table FROM PUBLIC;

-- Lets the worker see the rows of the bound tenant, and no client any. In the database because
-- every migration that makes a table of tenants' rows calls it.
CREATE PROCEDURE protect_tenant_table(IN name regclass)
 LANGUAGE plpgsql
AS $procedure$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
        'CREATE POLICY worker ON %s TO memory_worker USING (tenant_id = bound_tenant())', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO memory_worker', name);
    CALL let_backup_read(name);
END $procedure$;
REVOKE EXECUTE ON PROCEDURE protect_tenant_table FROM PUBLIC;

-- ======== log functions

-- Appends one interaction at the next place of its session and of its user. Both results are NULL
-- where the id is known or forgotten; the statement log.append says which. It binds tenant and user
-- to the transaction itself, and refuses where another binding holds; it acts as the role that
-- calls it, so row-level security covers all it does. In the database because record() then takes
-- one round trip, and a procedure because a CALL is not planned, which saves a tenth of what the
-- server does. Everything is looked up by a whole key, so one plan made without the values serves
-- however the tables grow.
CREATE PROCEDURE append_interaction(IN for_tenant text, IN for_user text, IN session text, IN agent text, IN private boolean, IN id text, IN digest bytea, IN kind text, IN role text, IN actor text, IN content text, IN payload jsonb, IN at timestamp with time zone, IN utc_offset integer, IN source text, IN hash bytea, IN session_ttl double precision, OUT ordinal integer, OUT "position" bigint)
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_seqscan TO 'off'
AS $procedure$
DECLARE
    known boolean;
    unusual boolean;
BEGIN
    IF COALESCE(bound_tenant(), for_tenant) <> for_tenant
        OR COALESCE(bound_user(), for_user) <> for_user THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'bound to user %L of tenant %L, asked to append for user %L of tenant %L',
            bound_user(), bound_tenant(), for_user, for_tenant);
    END IF;
    PERFORM set_config('memory.tenant_id', for_tenant, true),
        set_config('memory.user_id', for_user, true);

    -- One statement, since each takes the executor's start and end.
    SELECT EXISTS (SELECT FROM interactions i WHERE i.tenant_id = for_tenant AND i.user_id = for_user
                    AND i.interaction_id = id)
        OR EXISTS (SELECT FROM tombstones t WHERE t.tenant_id = for_tenant AND t.user_id = for_user
                    AND t.id_digest = digest),
        (SELECT s.listed_only AND a.listed_at IS NULL OR a.suspended_at IS NOT NULL
            OR num_nonnulls(a.interactions_a_day, a.bytes_stored) > 0
                AND COALESCE(a.checked_until <= now(), true)
         FROM store_settings s LEFT JOIN tenant_admissions a ON a.tenant_id = for_tenant)
    INTO known, unusual;
    IF known THEN
        RETURN;
    ELSIF unusual THEN
        PERFORM check_append(for_tenant);
    END IF;

    INSERT INTO users AS u (tenant_id, user_id, position, bytes, recorded_at, due_at, backfill)
    VALUES (for_tenant, for_user, 1, interaction_bytes(content, payload), now(), now(), starts_with(source, 'import:'))
    ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET position = u.position + 1, bytes = u.bytes + excluded.bytes, recorded_at = now(),
            due_at = LEAST(u.due_at, now()),
            backfill = excluded.backfill AND (u.backfill OR u.due_at IS NULL)
    RETURNING u.position INTO position;

    INSERT INTO sessions AS s (tenant_id, user_id, session_id, agent_id, length, started_at,
        last_at, expires_at)
    VALUES (for_tenant, for_user, session, agent, 1, at, at,
        GREATEST(at, now()) + make_interval(secs => session_ttl))
    ON CONFLICT (tenant_id, user_id, session_id) DO UPDATE
        SET length = s.length + 1,
            started_at = LEAST(s.started_at, excluded.started_at),
            last_at = GREATEST(s.last_at, excluded.last_at),
            expires_at = GREATEST(s.expires_at, excluded.expires_at),
            closed_at = NULL
    RETURNING s.length INTO ordinal;

    INSERT INTO interactions (tenant_id, user_id, session_id, ordinal, position, interaction_id,
        agent_id, private, kind, role, actor, content, payload, occurred_at, utc_offset, source,
        content_hash)
    VALUES (for_tenant, for_user, session, ordinal, position, id, agent, private, kind, role, actor,
        content, payload, at, utc_offset, source, hash);
END $procedure$;
REVOKE EXECUTE ON PROCEDURE append_interaction FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE append_interaction TO memory_client;
GRANT EXECUTE ON PROCEDURE append_interaction TO memory_worker;

-- When extraction may lease a user: due, held by nobody, and quiet for `quiet` seconds; or with
-- `full_at` interactions waiting; or due for five times as long as it should have been quiet. In
-- the database because two statements search users by it, and it is inlined into both.
CREATE FUNCTION leasable_at(u users, quiet double precision, full_at integer)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
    SELECT GREATEST(u.due_at, u.leased_until,
        CASE WHEN u.position - u.extracted < full_at
             THEN LEAST(u.recorded_at + make_interval(secs => quiet),
                        u.due_at + make_interval(secs => 5 * quiet)) END)
$function$;

-- Notifies the trigger's channel at commit, unless another transaction of the tenant is just about
-- to: a commit that notifies keeps every other one that does waiting for its write to disk. Who
-- listens looks again a little later, for those that left it to another. In the database because a
-- trigger calls it, whichever way the row was written; it runs as the worker, since a client must
-- not hold the row on which another tenant's notification waits.
CREATE FUNCTION notify_channel()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    PERFORM FROM notification_turns
    WHERE tenant_id = NEW.tenant_id AND channel = TG_ARGV[0]
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND COALESCE(bound_tenant(), NEW.tenant_id) = NEW.tenant_id THEN
        IF EXISTS (SELECT FROM notification_turns
                   WHERE tenant_id = NEW.tenant_id AND channel = TG_ARGV[0]) THEN
            RETURN NULL;
        END IF;
        INSERT INTO notification_turns (tenant_id, channel) VALUES (NEW.tenant_id, TG_ARGV[0])
        ON CONFLICT DO NOTHING;
    END IF;
    -- A full queue would fail the commit, and whoever may connect can fill it.
    IF pg_notification_queue_usage() < 0.5 THEN
        PERFORM pg_notify(TG_ARGV[0], '');
    END IF;
    RETURN NULL;
END $function$;
ALTER FUNCTION notify_channel OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION notify_channel FROM PUBLIC;

-- Whether an interaction was in the log at `believed_at`, counted then, and had occurred by
-- `as_of`. A time that is not given is now, or any time. In the database because three statements
-- select by it.
CREATE FUNCTION interaction_counted_at(i interactions, as_of timestamp with time zone, believed_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    SELECT i.recorded_at <= COALESCE(believed_at, now())
        AND (as_of IS NULL OR i.occurred_at <= as_of)
        AND NOT EXISTS (
            SELECT FROM retractions r
            WHERE r.tenant_id = i.tenant_id AND r.user_id = i.user_id
                AND r.interaction_id = i.interaction_id
                AND r.retracted_at <= COALESCE(believed_at, now())
                AND (r.restored_at IS NULL OR r.restored_at > COALESCE(believed_at, now())))
$function$;
REVOKE EXECUTE ON FUNCTION interaction_counted_at FROM PUBLIC;
GRANT EXECUTE ON FUNCTION interaction_counted_at TO memory_client;
GRANT EXECUTE ON FUNCTION interaction_counted_at TO memory_worker;

-- ======== generation functions

-- From 0 to 99, evenly and for ever the same: a generation serves the users below its percent. In
-- the database because serving_generation calls it inside other statements.
CREATE FUNCTION rollout_bucket(tenant_id text, user_id text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT (('x' || encode(substring(sha256(convert_to(
        length(tenant_id) || ':' || tenant_id || user_id, 'UTF8')) FOR 4), 'hex'))::bit(32)::bigint
        % 100)::int
$function$;

-- The generation that serves a user: the one place that says so. In the database because reads that
-- look it up first would take a round trip more; it is inlined, and costs one look into an index of
-- at most two rows.
CREATE FUNCTION serving_generation(tenant_id text, user_id text)
 RETURNS TABLE(generation smallint)
 LANGUAGE sql
 STABLE PARALLEL SAFE ROWS 1
AS $function$
    SELECT g.generation FROM memory.generations g
    WHERE g.percent > 0 AND g.percent > memory.rollout_bucket(tenant_id, user_id)
    ORDER BY g.state DESC  -- 'shadow' before 'live'
    LIMIT 1
$function$;

-- Adds the first embedder of an empty store, and returns the live one of this name. In the database
-- because a client may add an embedder in this one case and no other; it runs as its owner.
CREATE FUNCTION register_embedder(name text, dimensions integer)
 RETURNS smallint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    INSERT INTO embedders (name, dimensions)
    SELECT register_embedder.name, register_embedder.dimensions
    WHERE NOT EXISTS (SELECT FROM embedders e WHERE e.state = 'live')
    ON CONFLICT DO NOTHING;
    SELECT e.embedder_id FROM embedders e
    WHERE e.name = register_embedder.name AND e.dimensions = register_embedder.dimensions
        AND e.state = 'live';
$function$;
REVOKE EXECUTE ON FUNCTION register_embedder FROM PUBLIC;
GRANT EXECUTE ON FUNCTION register_embedder TO memory_client;
GRANT EXECUTE ON FUNCTION register_embedder TO memory_worker;

-- ======== belief functions

-- Whether a memory was believed at `believed_at` to hold at `as_of`. A time that is not given is
-- now, or any time. In the database because recall selects by it; it is inlined.
CREATE FUNCTION memory_held_at(m memories, as_of timestamp with time zone, believed_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT m.believed_from <= COALESCE(believed_at, now())
        AND (m.believed_to IS NULL OR m.believed_to > COALESCE(believed_at, now()))
        AND (as_of IS NULL
             OR m.valid_from <= as_of AND (m.valid_to IS NULL OR m.valid_to > as_of))
$function$;
REVOKE EXECUTE ON FUNCTION memory_held_at FROM PUBLIC;
GRANT EXECUTE ON FUNCTION memory_held_at TO memory_client;
GRANT EXECUTE ON FUNCTION memory_held_at TO memory_worker;

-- Every lexeme with the places, from 1, of the documents that hold it, as one tsvector. NULL if it
-- takes more than a tsvector holds, which is no more bytes than it is written with, and 2^20 - 1.
-- In the database because blocks are built of rows that are locked there.
CREATE FUNCTION inverted_index(documents tsvector[])
 RETURNS tsvector
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN octet_length(written) < 1000000 THEN written::tsvector END
    FROM (
        SELECT COALESCE(string_agg(concat(
            '''', replace(replace(lexeme, '\', '\\'), '''', ''''''), ''':', places), ' '), '')
            AS written
        FROM (
            SELECT lexeme, string_agg(place::text, ',') AS places
            FROM unnest(documents) WITH ORDINALITY AS d(lexemes, place)
            CROSS JOIN LATERAL unnest(tsvector_to_array(lexemes)) AS lexeme
            GROUP BY lexeme
        ) l
    ) w
$function$;
REVOKE EXECUTE ON FUNCTION inverted_index FROM PUBLIC;
GRANT EXECUTE ON FUNCTION inverted_index TO memory_client;
GRANT EXECUTE ON FUNCTION inverted_index TO memory_worker;

-- A memory in the 25 bytes that ranking reads: its id (8), its place in the log, which is the hash
-- of its session before its ordinal (8), where it ends in its session (4), how many lexemes it has
-- (4) and whether it is a standing instruction (1). In the database because blocks are built there.
CREATE FUNCTION encode_member(m memories)
 RETURNS bytea
 LANGUAGE sql
 STABLE
AS $function$
    SELECT int8send(m.memory_id)
        || int8send((COALESCE(hashtext(m.session_id), 0)::bigint << 32) + COALESCE(m.ordinal, 0))
        || int4send(COALESCE(m.ordinal_to, 0)) || int4send(length(m.lexemes))
        || boolsend(m.attribute IS NOT DISTINCT FROM 'instruction')
$function$;
REVOKE EXECUTE ON FUNCTION encode_member FROM PUBLIC;
GRANT EXECUTE ON FUNCTION encode_member TO memory_client;
GRANT EXECUTE ON FUNCTION encode_member TO memory_worker;

-- Removes the blocks of memories that came or went. Who changes memories shares the lock of the
-- user's row, and who builds a block has it alone: the block is either committed by then, so that
-- it is seen here, or begun after this transaction ends, so that it sees what this did. In the
-- database because extraction, forgetting and the jobs all write memories, and none may miss it.
CREATE FUNCTION invalidate_blocks()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    PERFORM FROM (SELECT DISTINCT tenant_id, user_id FROM moved) m
    JOIN users u ON u.tenant_id = m.tenant_id AND u.user_id = m.user_id
    FOR KEY SHARE OF u;
    IF has_table_privilege('recall_blocks', 'DELETE') THEN
        DELETE FROM recall_blocks b
        USING (SELECT DISTINCT tenant_id, user_id, generation, memory_id / 256 AS block FROM moved) m
        WHERE b.tenant_id = m.tenant_id AND b.user_id = m.user_id AND b.generation = m.generation
            AND b.block = m.block;
    ELSE
        PERFORM delete_blocks(array_agg(generation), array_agg(block))
        FROM (SELECT DISTINCT generation, memory_id / 256 AS block FROM moved) m;
    END IF;
    RETURN NULL;
END $function$;
REVOKE EXECUTE ON FUNCTION invalidate_blocks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_blocks TO memory_client;
GRANT EXECUTE ON FUNCTION invalidate_blocks TO memory_worker;

-- Removes the block of a memory that changed; in the database for the reason of invalidate_blocks.
CREATE FUNCTION invalidate_block()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
    PERFORM FROM users WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id FOR KEY SHARE;
    IF has_table_privilege('recall_blocks', 'DELETE') THEN
        DELETE FROM recall_blocks
        WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id AND generation = NEW.generation
            AND block = NEW.memory_id / 256;
    ELSE
        PERFORM delete_blocks(ARRAY[NEW.generation], ARRAY[NEW.memory_id / 256]);
    END IF;
    RETURN NULL;
END $function$;
REVOKE EXECUTE ON FUNCTION invalidate_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_block TO memory_client;
GRANT EXECUTE ON FUNCTION invalidate_block TO memory_worker;

-- What the block of these ids holds as the memories are now. In the database because those who
-- build blocks and those who verify them have to say the same.
CREATE FUNCTION block_contents(tenant text, owner text, derived smallint, number bigint, OUT members bytea, OUT postings tsvector)
 RETURNS record
 LANGUAGE sql
 STABLE
AS $function$
    WITH whole AS MATERIALIZED (
        SELECT count(agent_id) = 0 AS fits,
            string_agg(memory.encode_member(m), ''::bytea ORDER BY memory_id) AS members,
            memory.inverted_index(array_agg(lexemes ORDER BY memory_id)) AS postings
        FROM memory.memories m
        WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
            AND m.memory_id >= number * 256 AND m.memory_id < (number + 1) * 256
            AND m.believed_to IS NULL AND m.archived_at IS NULL
    )
    SELECT CASE WHEN fits AND postings IS NOT NULL THEN members END,
        CASE WHEN fits THEN postings END
    FROM whole
$function$;
REVOKE EXECUTE ON FUNCTION block_contents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION block_contents TO memory_client;
GRANT EXECUTE ON FUNCTION block_contents TO memory_worker;

-- Builds the user's next block of a generation; false if there is none to build, or not now. Ids up
-- to the user's change sequence are given out, so a block below it is whole. Memories that serve
-- one agent alone, and more words than a tsvector holds, are read row by row. In the database
-- because it waits for no one and looks under a lock: several statements of one transaction, in one
-- round trip.
CREATE FUNCTION build_block(tenant text, owner text, derived smallint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    made bigint;
BEGIN
    PERFORM FROM users WHERE tenant_id = tenant AND user_id = owner FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- Each of these statements sees all that was committed before it began.
    SELECT n INTO made
    FROM users u CROSS JOIN LATERAL generate_series(0, (u.change_seq + 1) / 256 - 1) n
    WHERE u.tenant_id = tenant AND u.user_id = owner
        AND NOT EXISTS (
            SELECT FROM recall_blocks b
            WHERE b.tenant_id = tenant AND b.user_id = owner AND b.generation = derived
                AND b.block = n)
        AND EXISTS (
            SELECT FROM memories m
            WHERE m.tenant_id = tenant AND m.user_id = owner AND m.generation = derived
                AND m.memory_id >= n * 256 AND m.memory_id < (n + 1) * 256
                AND m.believed_to IS NULL AND m.archived_at IS NULL)
    ORDER BY n
    LIMIT 1;
    IF made IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO recall_blocks (tenant_id, user_id, generation, block, members, postings)
    SELECT tenant, owner, derived, made, members, postings
    FROM block_contents(tenant, owner, derived, made);
    RETURN true;
END $function$;
REVOKE EXECUTE ON FUNCTION build_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION build_block TO memory_client;
GRANT EXECUTE ON FUNCTION build_block TO memory_worker;

-- ======== collective functions

-- A value as users are counted by it. In the database because promotion and withdrawal compare rows
-- of all users by it.
CREATE FUNCTION collective_value(value text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT lower(btrim(value)) $function$;

-- What makes two users' memories the same belief. In the database because promotion groups the
-- memories of all users by it.
CREATE FUNCTION collective_key(kind text, attribute text, value text, context text)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT substring(
        sha256(convert_to(jsonb_build_array(kind, attribute, value, context)::text, 'UTF8')) FOR 16)
$function$;

-- The least number of supporters of anything in the bound tenant's collective tier. In the database
-- because withdraw_support reads it where a client may not.
CREATE FUNCTION collective_k()
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    SELECT GREATEST(2, COALESCE(
        (SELECT (policy->>'k')::int FROM tenants WHERE tenant_id = bound_tenant()), 5))
$function$;
REVOKE EXECUTE ON FUNCTION collective_k FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collective_k TO memory_worker;

-- How far the bound tenant's thresholds may move up. In the database for the reason of
-- collective_k.
CREATE FUNCTION collective_max_jitter()
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    SELECT GREATEST(0, COALESCE(
        (SELECT (policy->>'jitter')::int FROM tenants WHERE tenant_id = bound_tenant()), 2))
$function$;
REVOKE EXECUTE ON FUNCTION collective_max_jitter FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collective_max_jitter TO memory_worker;

-- The name of a belief that only the bound tenant's secret can make. In the database because the
-- secret never leaves it.
CREATE FUNCTION collective_digest(belief_key bytea)
 RETURNS bytea
 LANGUAGE sql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
AS $function$ SELECT sha256(secret || belief_key) FROM tenants WHERE tenant_id = bound_tenant() $function$;
REVOKE EXECUTE ON FUNCTION collective_digest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collective_digest TO memory_worker;

-- By how much a threshold of a belief is moved: evenly from 0 to the tenant's most, the same until
-- the belief is withdrawn, then drawn afresh. In the database because the secret never leaves it.
CREATE FUNCTION collective_jitter(belief_key bytea, threshold text)
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    SELECT (get_byte(d.draw, 0) * 256 + get_byte(d.draw, 1)) % (collective_max_jitter() + 1)
    FROM tenants t
    LEFT JOIN collective_withdrawals w ON w.tenant_id = t.tenant_id
        AND w.belief_digest = sha256(t.secret || belief_key)
    CROSS JOIN LATERAL (
        SELECT sha256(t.secret || belief_key || convert_to(
            concat_ws(' ', threshold, COALESCE(w.withdrawal_count, 0)), 'UTF8')) AS draw
    ) d
    WHERE t.tenant_id = bound_tenant()
$function$;
REVOKE EXECUTE ON FUNCTION collective_jitter FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collective_jitter TO memory_worker;

-- The count to publish: the greatest step that `supporters` reach, by more than a secret margin for
-- a step that is not yet published. NULL: not to be published at all. In the database because it
-- draws by the secret, and promotion and verification both ask for it.
CREATE FUNCTION collective_step(belief_key bytea, supporters bigint, published integer)
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    SELECT max(step)
    FROM unnest(collective_k() || ARRAY[10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000])
        AS step
    WHERE step >= collective_k()
        AND step + CASE WHEN step <= published THEN 0
                        ELSE collective_jitter(belief_key, 'step ' || step) END <= supporters
$function$;
REVOKE EXECUTE ON FUNCTION collective_step FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collective_step TO memory_worker;

-- Removes collective memories for good, and remembers when without remembering what. In the
-- database because withdraw_support calls it, on behalf of a client that may not.
CREATE FUNCTION withdraw_collective(memories bigint[])
 RETURNS bigint
 LANGUAGE sql
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    INSERT INTO collective_withdrawals AS w (tenant_id, belief_digest)
    SELECT c.tenant_id, collective_digest(c.belief_key) FROM collective_memories c
    WHERE c.tenant_id = bound_tenant() AND c.memory_id = ANY(memories)
    ON CONFLICT (tenant_id, belief_digest)
        DO UPDATE SET withdrawal_count = LEAST(w.withdrawal_count + 1, 12), withdrawn_at = now();
    WITH gone AS (
        DELETE FROM collective_memories c
        WHERE c.tenant_id = bound_tenant() AND c.memory_id = ANY(memories)
        RETURNING c.memory_id
    )
    SELECT count(*) FROM gone;
$function$;
REVOKE EXECUTE ON FUNCTION withdraw_collective FROM PUBLIC;
GRANT EXECUTE ON FUNCTION withdraw_collective TO memory_worker;

-- Takes back what the bound user supported and holds no more, and withdraws what then falls under
-- k, in the caller's transaction. Where nothing is left of the user, every belief at the brink goes
-- too, supported by this user or not: who watches somebody leave sees the same in both cases. In
-- the database because a client may not read what it counts; it runs as the worker, held to the
-- bound tenant.
CREATE FUNCTION withdraw_support()
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
DECLARE
    k      int := collective_k();
    brink  int := collective_k() + collective_max_jitter();
    serves smallint := (SELECT generation FROM serving_generation(bound_tenant(), bound_user()));
    whole  boolean;
    doomed bigint[];
BEGIN
    -- Users who leave at once take turns, or each would count the other.
    PERFORM FROM tenants WHERE tenant_id = bound_tenant() FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    whole := EXISTS (SELECT FROM users
                     WHERE tenant_id = bound_tenant() AND user_id = bound_user())
        AND NOT EXISTS (SELECT FROM memories
                        WHERE tenant_id = bound_tenant() AND user_id = bound_user());
    WITH leaving AS MATERIALIZED (
        SELECT s.memory_id FROM collective_support s
        JOIN collective_memories c ON c.tenant_id = s.tenant_id AND c.memory_id = s.memory_id
        WHERE s.tenant_id = bound_tenant() AND s.user_id = bound_user()
            AND NOT EXISTS (
                SELECT FROM memories m
                WHERE m.tenant_id = s.tenant_id AND m.user_id = s.user_id
                    AND m.generation = serves AND m.kind = c.kind
                    AND m.attribute = c.attribute AND collective_value(m.value) = c.value
                    AND m.context IS NOT DISTINCT FROM c.context AND m.subject IS NULL
                    AND m.agent_id IS NULL AND m.believed_to IS NULL AND m.archived_at IS NULL)
    ), counted AS (
        SELECT c.memory_id, c.belief_key, l.memory_id IS NOT NULL AS leaves,
            (SELECT count(*) FROM (
                SELECT FROM collective_support s
                WHERE s.tenant_id = c.tenant_id AND s.memory_id = c.memory_id
                LIMIT brink + 1) s) AS supporters
        FROM collective_memories c LEFT JOIN leaving l USING (memory_id)
        WHERE c.tenant_id = bound_tenant()
            AND (l.memory_id IS NOT NULL OR whole AND c.support <= brink)
    ), gone AS (
        DELETE FROM collective_support s USING leaving l
        WHERE s.tenant_id = bound_tenant() AND s.memory_id = l.memory_id
            AND s.user_id = bound_user()
    )
    SELECT array_agg(memory_id) INTO doomed FROM counted
    WHERE (leaves AND supporters - 1 < k)
        OR (whole AND supporters <= k + collective_jitter(belief_key, 'brink'));
    PERFORM withdraw_collective(doomed);
END $function$;
ALTER FUNCTION withdraw_support OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION withdraw_support FROM PUBLIC;
GRANT EXECUTE ON FUNCTION withdraw_support TO memory_client;

-- Removes the blocks of collective memories that came or went. Whoever changes collective memories
-- shares the tenant's row, and whoever builds a block has it alone: a block is either committed by
-- then, so that it is seen here, or made of what this transaction leaves. Clients, who could hold
-- up others by an advisory lock, cannot lock that row. In the database because withdrawal, which
-- forgetting causes, may not miss it.
CREATE FUNCTION invalidate_collective_blocks()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    PERFORM FROM tenants WHERE tenant_id IN (SELECT tenant_id FROM moved) FOR SHARE;
    DELETE FROM collective_blocks b
    USING (SELECT DISTINCT tenant_id, memory_id / 256 AS block FROM moved) m
    WHERE b.tenant_id = m.tenant_id AND b.block = m.block;
    RETURN NULL;
END $function$;
REVOKE EXECUTE ON FUNCTION invalidate_collective_blocks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_collective_blocks TO memory_worker;

-- Removes the block of a collective memory that changed; in the database for the reason of
-- invalidate_collective_blocks.
CREATE FUNCTION invalidate_collective_block()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    PERFORM FROM tenants WHERE tenant_id = NEW.tenant_id FOR SHARE;
    DELETE FROM collective_blocks WHERE tenant_id = NEW.tenant_id AND block = NEW.memory_id / 256;
    RETURN NULL;
END $function$;
REVOKE EXECUTE ON FUNCTION invalidate_collective_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION invalidate_collective_block TO memory_worker;

-- What a block of the tenant holds as the memories are now; no row where there are none. In the
-- database because those who build blocks and those who verify them have to say the same.
CREATE FUNCTION collective_block_contents(tenant text, number bigint)
 RETURNS TABLE(member_count integer, word_total bigint, word_counts integer[], postings tsvector)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT count(memory_id)::int, sum(length(lexemes)),
        array_agg(COALESCE(length(lexemes), 0) ORDER BY place),
        memory.inverted_index(array_agg(lexemes ORDER BY place))
    FROM generate_series(number * 256, number * 256 + 255) place
    LEFT JOIN memory.collective_memories c ON c.tenant_id = tenant AND c.memory_id = place
        AND c.memory_id >= number * 256 AND c.memory_id < (number + 1) * 256
        AND c.believed_to IS NULL
    HAVING count(memory_id) > 0
$function$;
REVOKE EXECUTE ON FUNCTION collective_block_contents FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collective_block_contents TO memory_worker;

-- Builds the tenant's next block; false if there is none to build, or not now. In the database for
-- the reason of build_block.
CREATE FUNCTION build_collective_block(tenant text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    given_out bigint;
    made      bigint;
BEGIN
    SELECT change_seq INTO given_out FROM tenants
    WHERE tenant_id = tenant
    FOR UPDATE SKIP LOCKED;
    -- Each of these statements sees all that was committed before it began.
    SELECT n INTO made
    FROM generate_series(0, (given_out + 1) / 256 - 1) n
    WHERE NOT EXISTS (SELECT FROM collective_blocks b WHERE b.tenant_id = tenant AND b.block = n)
        AND EXISTS (
            SELECT FROM collective_memories c
            WHERE c.tenant_id = tenant AND c.memory_id >= n * 256 AND c.memory_id < (n + 1) * 256
                AND c.believed_to IS NULL)
    ORDER BY n
    LIMIT 1;
    INSERT INTO collective_blocks (tenant_id, block, member_count, word_total, word_counts, postings)
    SELECT tenant, made, member_count, word_total, word_counts, postings
    FROM collective_block_contents(tenant, made);
    RETURN made IS NOT NULL;
END $function$;
REVOKE EXECUTE ON FUNCTION build_collective_block FROM PUBLIC;
GRANT EXECUTE ON FUNCTION build_collective_block TO memory_worker;

-- ======== change functions

-- A change before append_changes gives it its place. A type of its own, so that nothing depends on
-- the order of the columns of a table.
CREATE TYPE memory_change AS (
    tenant_id text,
    user_id text,
    change text,
    memory_id bigint,
    generation smallint,
    successor bigint,
    memory jsonb
);

-- A memory as the change stream tells it. In the database because triggers write it.
CREATE FUNCTION memory_as_json(m memories)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
    SELECT jsonb_build_object(
        'kind', m.kind, 'text', m.text, 'attribute', m.attribute, 'value', m.value,
        'subject', m.subject, 'context', m.context, 'single_valued', m.single_valued,
        'contested', m.contested, 'agent', m.agent_id, 'session', m.session_id,
        'confidence', m.confidence, 'importance', m.importance, 'support', m.support,
        'occurred_at', m.occurred_at, 'valid_from', m.valid_from, 'valid_to', m.valid_to,
        'believed_from', m.believed_from, 'supersedes', m.supersedes, 'extractor', m.extractor,
        'extractor_version', m.extractor_version, 'model', m.model)
$function$;

-- One change to a memory. In the database because triggers keep it.
CREATE FUNCTION build_change(m memories, change text, successor bigint)
 RETURNS memory_change
 LANGUAGE sql
 STABLE
AS $function$
    SELECT ROW(m.tenant_id, m.user_id, change, m.memory_id, m.generation, successor,
        CASE WHEN change IN ('added', 'reinforced') THEN memory.memory_as_json(m) END
        )::memory.memory_change
$function$;

-- Keeps changes under the next places of their users, in the order given. The row that hands the
-- places out is held until the commit, so a user's changes are seen in the order of their places.
-- In the database because triggers call it.
CREATE FUNCTION append_changes(kept memory_change[])
 RETURNS void
 LANGUAGE sql
AS $function$
    WITH made AS (
        SELECT k.tenant_id, k.user_id, k.change, k.memory_id, k.generation, k.successor, k.memory,
            row_number() OVER w AS nth, count(*) OVER (PARTITION BY k.tenant_id, k.user_id)
                AS number
        FROM unnest(kept) WITH ORDINALITY AS k(tenant_id, user_id, change, memory_id, generation,
            successor, memory, ordinality)
        WINDOW w AS (PARTITION BY k.tenant_id, k.user_id ORDER BY k.ordinality)
    ), places AS (
        INSERT INTO memory.change_cursors AS p (tenant_id, user_id, last_seq, waiting_since)
        SELECT tenant_id, user_id, count(*), now() FROM made
        GROUP BY tenant_id, user_id ORDER BY tenant_id, user_id
        ON CONFLICT (tenant_id, user_id) DO UPDATE
            SET last_seq = p.last_seq + excluded.last_seq,
                waiting_since = COALESCE(p.waiting_since, excluded.waiting_since)
        RETURNING p.tenant_id, p.user_id, p.last_seq
    )
    INSERT INTO memory.changes (tenant_id, user_id, seq, change, memory_id, generation, successor,
        memory)
    SELECT m.tenant_id, m.user_id, p.last_seq - m.number + m.nth, m.change, m.memory_id,
        m.generation, m.successor, m.memory
    FROM made m JOIN places p USING (tenant_id, user_id)
$function$;

-- Whether this transaction is to keep changes; one that only moves rows about says that it is not.
-- In the database because triggers ask it.
CREATE FUNCTION changes_enabled()
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT current_setting('memory.changes', true) IS DISTINCT FROM 'off'
        AND EXISTS (SELECT FROM memory.change_stream WHERE enabled_at IS NOT NULL)
$function$;

-- Keeps the changes of an INSERT. Only memories of the generation that serves their user are told
-- of. In the database because a change has to be kept whoever writes memories.
CREATE FUNCTION record_inserted_memories()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $function$
BEGIN
    IF NOT changes_enabled() THEN
        RETURN NULL;
    END IF;
    -- What this transaction closed is superseded, where a new memory takes its place; directly, or
    -- by way of others that came and went at once.
    WITH RECURSIVE steps AS (
        SELECT tenant_id, user_id, supersedes AS closed, memory_id, believed_to
        FROM new_rows WHERE supersedes IS NOT NULL
        UNION
        SELECT s.tenant_id, s.user_id, s.closed, n.memory_id, n.believed_to
        FROM steps s JOIN new_rows n ON n.tenant_id = s.tenant_id AND n.user_id = s.user_id
            AND n.supersedes = s.memory_id
        WHERE s.believed_to IS NOT NULL
    ), successors AS (
        SELECT tenant_id, user_id, closed, max(memory_id) AS memory_id
        FROM steps WHERE believed_to IS NULL GROUP BY tenant_id, user_id, closed
    )
    UPDATE changes c SET change = 'superseded', successor = s.memory_id
    FROM successors s
    WHERE c.tenant_id = s.tenant_id AND c.user_id = s.user_id AND c.memory_id = s.closed
        AND c.change = 'withdrawn' AND c.transaction_id = pg_current_xact_id();
    PERFORM append_changes(array_agg(build_change(m, 'added', NULL) ORDER BY memory_id))
    FROM new_rows n JOIN memories m USING (tenant_id, user_id, memory_id)
    WHERE n.believed_to IS NULL AND n.archived_at IS NULL
        AND n.generation = (SELECT s.generation FROM serving_generation(n.tenant_id, n.user_id) s)
    HAVING count(*) > 0;
    RETURN NULL;
END $function$;

-- Keeps the changes of an UPDATE. Importance alone, which time lowers everywhere, is no change. In
-- the database for the reason of record_inserted_memories.
CREATE FUNCTION record_updated_memories()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $function$
DECLARE
    kept memory_change[];
BEGIN
    IF NOT changes_enabled() THEN
        RETURN NULL;
    END IF;
    WITH merged AS (
        -- Of memories under one key that one statement closes, but for one, that one is the rest.
        SELECT tenant_id, user_id, generation, belief_key, max(memory_id) AS memory_id
        FROM new_rows
        WHERE believed_to IS NULL AND archived_at IS NULL AND supersedes IS NOT NULL
        GROUP BY tenant_id, user_id, generation, belief_key
    ), moved AS (
        SELECT n.tenant_id, n.user_id, n.memory_id, n.generation, k.memory_id AS successor, CASE
            WHEN o.believed_to IS NULL AND o.archived_at IS NULL THEN CASE
                WHEN n.believed_to IS NOT NULL AND k.memory_id IS NOT NULL THEN 'superseded'
                WHEN n.believed_to IS NOT NULL OR n.archived_at IS NOT NULL THEN 'withdrawn'
                WHEN (n.confidence, n.support, n.valid_from, n.valid_to, n.value, n.text,
                        n.contested) IS DISTINCT FROM
                    (o.confidence, o.support, o.valid_from, o.valid_to, o.value, o.text,
                        o.contested) THEN 'reinforced' END
            WHEN n.believed_to IS NULL AND n.archived_at IS NULL THEN 'added' END AS change
        FROM old_rows o
        JOIN new_rows n USING (tenant_id, user_id, memory_id)
        LEFT JOIN merged k ON n.believed_to IS NOT NULL AND k.tenant_id = n.tenant_id
            AND k.user_id = n.user_id AND k.generation = n.generation
            AND k.belief_key = n.belief_key
    )
    SELECT array_agg(build_change(m, v.change, v.successor) ORDER BY memory_id) INTO kept
    FROM moved v JOIN memories m USING (tenant_id, user_id, memory_id)
    WHERE v.change IS NOT NULL
        AND v.generation = (SELECT s.generation FROM serving_generation(v.tenant_id, v.user_id) s);
    IF kept IS NOT NULL THEN
        PERFORM append_changes(kept);
    END IF;
    RETURN NULL;
END $function$;

-- Keeps the changes of a DELETE: of what is gone its number alone is told, and what waits to be
-- told of it loses its words. What may have been told of it before a generation was retired is gone
-- as well. In the database for the reason of record_inserted_memories.
CREATE FUNCTION record_deleted_memories()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $function$
BEGIN
    IF current_setting('memory.changes', true) = 'off' THEN
        RETURN NULL;
    END IF;
    IF changes_enabled() THEN
        PERFORM append_changes(array_agg(ROW(o.tenant_id, o.user_id, 'forgotten', o.memory_id,
            o.generation, NULL, NULL)::memory_change ORDER BY o.memory_id))
        FROM old_rows o JOIN generations g USING (generation)
        WHERE g.state <> 'shadow' OR g.percent > 0
        HAVING count(*) > 0;
    END IF;
    UPDATE changes c SET memory = NULL FROM old_rows o
    WHERE c.tenant_id = o.tenant_id AND c.user_id = o.user_id AND c.memory_id = o.memory_id
        AND c.memory IS NOT NULL;
    RETURN NULL;
END $function$;

-- ======== bus functions

-- Removes what is known to be the bound user's from the dead letters, in the caller's transaction:
-- everything, or what belongs to a session or to given interactions. In the database because a
-- client may not read dead letters; it runs as the worker.
CREATE FUNCTION forget_dead_letters(session text, ids text[])
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    WITH gone AS (
        DELETE FROM dead_letters d
        WHERE d.tenant_id = bound_tenant() AND d.user_id = bound_user()
            AND (forget_dead_letters.session IS NULL AND forget_dead_letters.ids IS NULL
                OR d.session_id = forget_dead_letters.session
                OR d.interaction_id = ANY(forget_dead_letters.ids))
        RETURNING 1
    )
    SELECT count(*) FROM gone
$function$;
ALTER FUNCTION forget_dead_letters OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION forget_dead_letters FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_dead_letters TO memory_client;

-- ======== store identity

-- Where the store lies: the cluster and the database in it. A dump restored elsewhere has another
-- place; a physical copy of the cluster has the same one. In the database because only a function
-- can go on where the server refuses the cluster's number: the place then names no cluster.
CREATE FUNCTION store_place()
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    database text := (SELECT oid::text FROM pg_database WHERE datname = current_database());
BEGIN
    RETURN (SELECT system_identifier FROM pg_control_system()) || '/' || database;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN '/' || database;
END
$function$;
REVOKE EXECUTE ON FUNCTION store_place FROM PUBLIC;
GRANT EXECUTE ON FUNCTION store_place TO memory_client;
GRANT EXECUTE ON FUNCTION store_place TO memory_worker;

-- ======== backup

-- Lets backups see every row of a table with row-level security: what no policy shows them would be
-- missing in a dump, without an error. In the database because every migration that makes such a
-- table calls it.
CREATE PROCEDURE let_backup_read(IN name regclass)
 LANGUAGE plpgsql
AS $procedure$
BEGIN
    EXECUTE format('CREATE POLICY backup ON %s FOR SELECT TO memory_backup USING (true)', name);
    EXECUTE format('GRANT SELECT ON %s TO memory_backup', name);
END $procedure$;
REVOKE EXECUTE ON PROCEDURE let_backup_read FROM PUBLIC;

-- How many rows a table has, and a digest of them without some columns: the sums of two halves of
-- each row's SHA-256. Rows are read once, in any order, and columns count by their names, so that
-- neither a collation nor the way to a schema makes a difference, and no memory grows with the
-- table. In the database because it reads tables that it is given by name, and because the rows
-- need not travel.
CREATE FUNCTION table_digest(name regclass, without text[], OUT row_count bigint, OUT digest text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'memory', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET extra_float_digits TO '1'
 SET bytea_output TO 'hex'
 SET "IntervalStyle" TO 'iso_8601'
AS $function$
BEGIN
    EXECUTE format($digest$
        SELECT count(*), encode(sha256(convert_to(concat_ws(' ',
            count(*),
            sum(('x' || substr(hash, 1, 16))::bit(64)::bigint),
            sum(('x' || substr(hash, 17, 16))::bit(64)::bigint)), 'UTF8')), 'hex')
        FROM (
            SELECT encode(sha256(convert_to((to_jsonb(one) - $1)::text, 'UTF8')), 'hex') AS hash
            FROM %s one
        ) hashed $digest$, name)
    INTO row_count, digest USING without;
END $function$;
REVOKE EXECUTE ON FUNCTION table_digest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION table_digest TO memory_backup;

-- ======== index any text

-- The SHA-256 of a text. In the database because an index needs it, and immutable since the
-- encoding is always named.
CREATE FUNCTION text_digest(content text)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$ SELECT sha256(convert_to(content, 'UTF8')) $function$;

-- ======== statistics

-- Has the planner gather no statistics of any column or index expression but numbers, truth values
-- and times, and removes what it has: ANALYZE would leave it. On Postgres 16 and 17 only a
-- superuser can remove it. In the database because every migration that makes a table, a column or
-- an index over an expression calls it.
CREATE PROCEDURE keep_no_statistics()
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $procedure$
DECLARE
    cleared text := CASE WHEN to_regprocedure(
        'pg_clear_attribute_stats(text, text, text, boolean)') IS NOT NULL
        THEN 'SELECT pg_clear_attribute_stats(''memory'', %L, %L, false)'
        WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        THEN 'DELETE FROM pg_statistic WHERE starelid = ''memory.%I''::regclass
            AND staattnum = (SELECT attnum FROM pg_attribute
                WHERE attrelid = starelid AND attname = %L)' END;
    kept record;
BEGIN
    FOR kept IN
        SELECT c.relname, c.relkind, a.attname, a.attnum
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relnamespace = 'memory'::regnamespace
            AND (c.relkind IN ('r', 'p', 'm') OR i.indkey[a.attnum - 1] = 0)
            AND COALESCE(a.attstattarget, -1) <> 0
            AND a.atttypid <> ALL ('{int2, int4, int8, float4, float8, bool, date, timestamptz}'::regtype[])
    LOOP
        IF kept.relkind IN ('i', 'I') THEN
            EXECUTE format('ALTER INDEX %I ALTER COLUMN %s SET STATISTICS 0', kept.relname, kept.attnum);
        ELSE
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS 0', kept.relname, kept.attname);
        END IF;
        IF cleared IS NOT NULL THEN
            EXECUTE format(cleared, kept.relname, kept.attname);
        END IF;
    END LOOP;
END $procedure$;
REVOKE EXECUTE ON PROCEDURE keep_no_statistics FROM PUBLIC;

-- ======== private sessions

-- Whether an agent sees the task state of a session: not where the session begins with what is
-- private to another agent. In the database because four statements ask it.
CREATE FUNCTION session_seen_by(for_tenant text, for_user text, session text, agent text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT COALESCE((
        SELECT NOT i.private OR i.agent_id IS NOT DISTINCT FROM agent
        FROM memory.interactions i
        WHERE i.tenant_id = for_tenant AND i.user_id = for_user AND i.session_id = session
        ORDER BY i.ordinal
        LIMIT 1
    ), true)
$function$;
REVOKE EXECUTE ON FUNCTION session_seen_by FROM PUBLIC;
GRANT EXECUTE ON FUNCTION session_seen_by TO memory_client;
GRANT EXECUTE ON FUNCTION session_seen_by TO memory_worker;

-- ======== locks

-- Deletes one key of a session of the bound user. In the database for the reason of
-- delete_memories.
CREATE FUNCTION delete_task_state(of_session text, of_key text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM task_state
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND session_id = of_session
        AND key = of_key
$function$;
ALTER FUNCTION delete_task_state OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_task_state FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_task_state TO memory_client;

-- Deletes a session of the bound user, or all, with task state and progress. In the database for
-- the reason of delete_memories.
CREATE FUNCTION delete_sessions(of_session text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM task_state
    WHERE tenant_id = bound_tenant() AND user_id = bound_user()
        AND (of_session IS NULL OR session_id = of_session);
    DELETE FROM session_progress
    WHERE tenant_id = bound_tenant() AND user_id = bound_user()
        AND (of_session IS NULL OR session_id = of_session);
    DELETE FROM sessions
    WHERE tenant_id = bound_tenant() AND user_id = bound_user()
        AND (of_session IS NULL OR session_id = of_session)
$function$;
ALTER FUNCTION delete_sessions OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_sessions TO memory_client;

-- Deletes interactions of the bound user, with their retractions. In the database for the reason of
-- delete_memories.
CREATE FUNCTION delete_interactions(ids text[])
 RETURNS TABLE(interaction_id text, session_id text, ordinal integer)
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM retractions r
    WHERE r.tenant_id = bound_tenant() AND r.user_id = bound_user()
        AND r.interaction_id = ANY(ids);
    DELETE FROM interactions i
    WHERE i.tenant_id = bound_tenant() AND i.user_id = bound_user()
        AND i.interaction_id = ANY(ids)
    RETURNING i.interaction_id, i.session_id, i.ordinal
$function$;
ALTER FUNCTION delete_interactions OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_interactions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_interactions TO memory_client;

-- Deletes assertions of the bound user, by their ids or their belief keys. In the database for the
-- reason of delete_memories.
CREATE FUNCTION delete_assertions(of_generation smallint, ids bytea[], keys bytea[])
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM assertions
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND generation = of_generation
        AND (assertion_id = ANY(ids) OR belief_key = ANY(keys))
$function$;
ALTER FUNCTION delete_assertions OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_assertions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_assertions TO memory_client;

-- Deletes the bound user's memories under these belief keys, with evidence and vectors, and returns
-- their ids. In the database because a client may delete from no table itself: it could lock the
-- table for everybody. It runs as the worker, held to the bound user.
CREATE FUNCTION delete_memories(of_generation smallint, keys bytea[])
 RETURNS SETOF bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM memories
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND generation = of_generation
        AND belief_key = ANY(keys)
    RETURNING memory_id
$function$;
ALTER FUNCTION delete_memories OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_memories FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_memories TO memory_client;

-- Deletes all that was derived of the bound user and returns the ids of the memories. In the
-- database for the reason of delete_memories.
CREATE FUNCTION delete_derived()
 RETURNS SETOF bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM assertions WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM forgotten_beliefs WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM review_decisions WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM generation_progress WHERE tenant_id = bound_tenant() AND user_id = bound_user();
    DELETE FROM memories WHERE tenant_id = bound_tenant() AND user_id = bound_user()
    RETURNING memory_id
$function$;
ALTER FUNCTION delete_derived OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_derived FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_derived TO memory_client;

-- Deletes the bound user's decision on a proposal. In the database for the reason of
-- delete_memories.
CREATE FUNCTION delete_review_decision(of_proposal bytea)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM review_decisions
    WHERE tenant_id = bound_tenant() AND user_id = bound_user() AND proposal = of_proposal
$function$;
ALTER FUNCTION delete_review_decision OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_review_decision FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_review_decision TO memory_client;

-- Deletes what models answered about the bound user. In the database for the reason of
-- delete_memories.
CREATE FUNCTION delete_model_answers()
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$ DELETE FROM model_answers WHERE tenant_id = bound_tenant() AND user_id = bound_user() $function$;
ALTER FUNCTION delete_model_answers OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_model_answers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_model_answers TO memory_client;

-- Deletes every model call about the bound user. In the database for the reason of delete_memories.
CREATE FUNCTION delete_model_calls()
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$ DELETE FROM model_calls WHERE tenant_id = bound_tenant() AND user_id = bound_user() $function$;
ALTER FUNCTION delete_model_calls OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_model_calls FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_model_calls TO memory_client;

-- Deletes recall blocks of the bound user. In the database for the reason of delete_memories.
CREATE FUNCTION delete_blocks(generations smallint[], numbers bigint[])
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
    DELETE FROM recall_blocks b
    USING unnest(generations, numbers) AS m(generation, block)
    WHERE b.tenant_id = bound_tenant() AND b.user_id = bound_user()
        AND b.generation = m.generation AND b.block = m.block
$function$;
ALTER FUNCTION delete_blocks OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION delete_blocks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_blocks TO memory_client;

-- Lets clients update every column of the tables that they write, but never whose a row is, and
-- delete nothing: who may update or delete by a right to the whole table may lock the table. Then
-- keep_no_statistics. In the database because every migration that makes a table, a column or an
-- index over an expression calls it.
CREATE PROCEDURE secure_tables()
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $procedure$
DECLARE
    written record;
BEGIN
    FOR written IN
        SELECT c.oid::regclass AS name, string_agg(quote_ident(a.attname), ', ') AS columns
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname NOT IN ('tenant_id', 'user_id')
        WHERE c.relnamespace = 'memory'::regnamespace AND c.relkind IN ('r', 'p')
            AND has_table_privilege('memory_client', c.oid, 'INSERT')
        GROUP BY c.oid
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM memory_client',
            written.name);
        EXECUTE format('GRANT UPDATE (%s) ON %s TO memory_client', written.columns, written.name);
    END LOOP;
    CALL keep_no_statistics();
END $procedure$;
REVOKE EXECUTE ON PROCEDURE secure_tables FROM PUBLIC;

-- ======== tenants

-- What an interaction counts in users.bytes. In the database because five statements count.
CREATE FUNCTION interaction_bytes(content text, payload jsonb)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT (octet_length(content) + octet_length(payload::text))::bigint $function$;

-- Refuses a tenant that the store does not serve, with an SQLSTATE of its own; returns whether a
-- quota of what it records has to be checked. In the database because the binding of every client
-- goes through it, and append_interaction.
CREATE FUNCTION check_tenant(for_tenant text)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    asked record;
BEGIN
    SELECT s.listed_only AND a.listed_at IS NULL AS unlisted, a.suspended_at,
        num_nonnulls(a.interactions_a_day, a.bytes_stored) > 0
            AND COALESCE(a.checked_until <= now(), true) AS limited
    INTO asked
    FROM store_settings s LEFT JOIN tenant_admissions a ON a.tenant_id = for_tenant;
    IF asked.unlisted THEN
        RAISE SQLSTATE 'EM001' USING MESSAGE = format(
            'this store serves listed tenants only, and tenant %L is not listed', for_tenant);
    ELSIF asked.suspended_at IS NOT NULL THEN
        RAISE SQLSTATE 'EM002' USING MESSAGE = format(
            'tenant %L is suspended since %s UTC', for_tenant,
            to_char(asked.suspended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
    END IF;
    RETURN asked.limited;
END $function$;
REVOKE EXECUTE ON FUNCTION check_tenant FROM PUBLIC;
GRANT EXECUTE ON FUNCTION check_tenant TO memory_client;
GRANT EXECUTE ON FUNCTION check_tenant TO memory_worker;

-- Counts what the bound tenant has used until now, into the row of the day. In the database because
-- quota_exceeded calls it for clients, who may not read other users' rows.
CREATE FUNCTION count_usage(for_tenant text, with_memories boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $function$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    midnight timestamptz := today::timestamp AT TIME ZONE 'UTC';
    ever bigint;
    stored bigint;
    before bigint;
BEGIN
    SELECT COALESCE(sum(u.position), 0), COALESCE(sum(u.bytes), 0) INTO ever, stored
    FROM users u WHERE u.tenant_id = for_tenant;
    SELECT u.recorded INTO before FROM tenant_usage u
    WHERE u.tenant_id = for_tenant AND u.day < today ORDER BY u.day DESC LIMIT 1;
    IF before IS NULL THEN
        SELECT u.recorded - u.interactions INTO before FROM tenant_usage u
        WHERE u.tenant_id = for_tenant AND u.day = today;
    END IF;
    IF before IS NULL THEN  -- the first count of all
        SELECT ever - count(*) INTO before
        FROM users u JOIN interactions i USING (tenant_id, user_id)
        WHERE u.tenant_id = for_tenant AND u.recorded_at >= midnight AND i.recorded_at >= midnight;
    END IF;
    INSERT INTO tenant_usage AS t (tenant_id, day, counted_at, recorded, interactions, bytes,
        memories)
    VALUES (for_tenant, today, now(), ever, ever - before, stored,
        CASE WHEN with_memories THEN
            (SELECT count(*) FROM memories m
             WHERE m.tenant_id = for_tenant AND m.believed_to IS NULL) END)
    ON CONFLICT (tenant_id, day) DO UPDATE
        SET counted_at = excluded.counted_at, recorded = excluded.recorded,
            interactions = excluded.interactions, bytes = excluded.bytes,
            memories = COALESCE(excluded.memories, t.memories);
END $function$;
REVOKE EXECUTE ON FUNCTION count_usage FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_usage TO memory_worker;

-- Which quota the bound tenant has used up, by a count at most 30 seconds old; NULL: none. In the
-- database because a client may not read what other users have recorded; it runs as the worker.
CREATE FUNCTION quota_exceeded(for_tenant text)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    quota record;
    used record;
BEGIN
    SELECT a.interactions_a_day, a.bytes_stored, a.checked_until INTO quota
    FROM tenant_admissions a WHERE a.tenant_id = for_tenant;
    SELECT u.interactions, u.bytes, u.counted_at INTO used
    FROM tenant_usage u WHERE u.tenant_id = for_tenant AND u.day = today;
    IF used.interactions >= quota.interactions_a_day THEN
        RETURN format('tenant %L has recorded %s of %s interactions today; the next day begins at '
            'midnight UTC', for_tenant, used.interactions, quota.interactions_a_day);
    ELSIF used.bytes >= quota.bytes_stored THEN
        RETURN format('tenant %L stores %s of %s bytes', for_tenant, used.bytes,
            quota.bytes_stored);
    END IF;
    -- Who counts is let through, so that the count commits. The others do not wait for it.
    PERFORM FROM tenant_admissions a
    WHERE a.tenant_id = for_tenant AND a.checked_until IS NOT DISTINCT FROM quota.checked_until
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF COALESCE(used.counted_at < now() - interval '30 seconds', true) THEN
        PERFORM count_usage(for_tenant, false);
    END IF;
    UPDATE tenant_admissions a
    SET checked_until = LEAST(now() + interval '30 seconds',
        (today + 1)::timestamp AT TIME ZONE 'UTC')
    FROM tenant_usage u
    WHERE a.tenant_id = for_tenant AND u.tenant_id = for_tenant AND u.day = today
        AND (u.interactions >= a.interactions_a_day) IS NOT TRUE
        AND (u.bytes >= a.bytes_stored) IS NOT TRUE;
    RETURN NULL;
END $function$;
ALTER FUNCTION quota_exceeded OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION quota_exceeded FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quota_exceeded TO memory_client;

-- Refuses to append for a tenant that the store does not serve, or that has used up a quota;
-- otherwise true. In the database because append_interaction and log.append call it.
CREATE FUNCTION check_append(for_tenant text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    exceeded text;
BEGIN
    IF check_tenant(for_tenant) THEN
        exceeded := quota_exceeded(for_tenant);
        IF exceeded IS NOT NULL THEN
            RAISE SQLSTATE 'EM003' USING MESSAGE = exceeded;
        END IF;
    END IF;
    RETURN true;
END $function$;
REVOKE EXECUTE ON FUNCTION check_append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION check_append TO memory_client;
GRANT EXECUTE ON FUNCTION check_append TO memory_worker;

-- Counts the bound tenant again after something was forgotten, if it has a quota of bytes. In the
-- database because a client may not read other users' rows; it runs as the worker.
CREATE FUNCTION recount_stored(for_tenant text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$
BEGIN
    IF EXISTS (SELECT FROM tenant_admissions a
               WHERE a.tenant_id = for_tenant AND a.bytes_stored IS NOT NULL) THEN
        PERFORM count_usage(for_tenant, false);
    END IF;
END $function$;
ALTER FUNCTION recount_stored OWNER TO memory_worker;
REVOKE EXECUTE ON FUNCTION recount_stored FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recount_stored TO memory_client;

-- ======== sensitive content

-- Whether a quote is what was said, each of its masked characters being any one. In the database
-- because the jobs compare all quotes with the log there.
CREATE FUNCTION repeats(quote text, said text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    SELECT quote = said OR position('•' IN quote) > 0 AND said LIKE
        replace(replace(replace(replace(quote, '\', '\\'), '%', '\%'), '_', '\_'), '•', '_')
$function$;

-- ======== tenant logins

-- The tenant of the session's login; NULL: it is of none. In the database because bound_tenant
-- calls it; it runs as its owner, since nobody else may read whose login is whose.
CREATE FUNCTION tenant_of_login()
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'memory', 'pg_temp'
AS $function$ BEGIN
    RETURN (SELECT tenant_id FROM tenant_logins WHERE login = session_user);
END $function$;

-- Says that the session's login is not this tenant's. In the database because the binding calls it:
-- an empty answer would look like a tenant without memories.
CREATE FUNCTION refuse_tenant(asked text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$ BEGIN
    RAISE EXCEPTION USING ERRCODE = 'EM004', MESSAGE = format(
        'the login %I is bound to %s, and the call names tenant %L', session_user,
        COALESCE('tenant ' || quote_literal(memory.bound_tenant()), 'no tenant'), asked);
END $function$;

-- Binds a login to a tenant for good: it acts as a client, and sees no other tenant. In the
-- database because a GRANT takes no parameters.
CREATE PROCEDURE bind_login(IN named name, IN tenant text)
 LANGUAGE plpgsql
 SET search_path TO 'memory', 'pg_temp'
AS $procedure$
DECLARE
    found pg_roles := (SELECT r FROM pg_roles r WHERE rolname = named);
BEGIN
    IF found.oid IS NULL THEN
        RAISE undefined_object USING MESSAGE = format('the server has no login %I', named);
    END IF;
    IF found.rolsuper OR found.rolbypassrls OR pg_has_role(named, 'memory_worker', 'MEMBER')
        OR pg_has_role(named, 'memory_backup', 'MEMBER')
        OR pg_has_role(named, (SELECT nspowner FROM pg_namespace WHERE nspname = 'memory'), 'MEMBER')
    THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'the login %I may act as a superuser, the owner, a worker or a backup, which see every '
            'tenant; name one that may not', named);
    END IF;
    BEGIN
        IF NOT pg_has_role('memory_tenant_login', 'memory_client', 'USAGE') THEN
            GRANT memory_client TO memory_tenant_login;
        END IF;
        IF NOT pg_has_role(named, 'memory_tenant_login', 'USAGE') THEN
            EXECUTE format('GRANT memory_tenant_login TO %I WITH INHERIT TRUE', named);
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE = format(
            'an administrator has to run: GRANT memory_client TO memory_tenant_login; '
            'GRANT memory_tenant_login TO %I WITH INHERIT TRUE;', named);
    END;
    INSERT INTO tenant_logins AS l (login, tenant_id) VALUES (named, tenant)
    ON CONFLICT (login) DO UPDATE SET tenant_id = excluded.tenant_id;
END $procedure$;
REVOKE EXECUTE ON PROCEDURE bind_login FROM PUBLIC;
