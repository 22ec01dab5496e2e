-- Whose words a memory rests on, and what of them waits for somebody's decision.

-- First of all, since the index reads every assertion: while the tables below are locked, nobody
-- records anything or reads a context.
ALTER TABLE assertions ADD COLUMN origin text, ADD COLUMN proposal bytea;
COMMENT ON COLUMN assertions.origin IS
    'Of its least trusted evidence; NULL: made before origins were kept.';
COMMENT ON COLUMN assertions.proposal IS
    'A digest of what it proposes and whose words propose it, where its origin may found no belief: '
    'it counts once review_decisions approves it. NULL: it counts by itself.';
CREATE INDEX assertions_proposals ON assertions (tenant_id, proposal, recorded_at)
    WHERE proposal IS NOT NULL;
COMMENT ON INDEX assertions_proposals IS 'What waits for review, repetitions side by side.';

ALTER TABLE interactions DROP CONSTRAINT interactions_kind_check;
ALTER TABLE interactions ADD CONSTRAINT interactions_kind_check CHECK (kind IN
    ('message', 'tool_call', 'tool_result', 'retrieval', 'feedback', 'model_call', 'note'))
    NOT VALID;
COMMENT ON COLUMN interactions.kind IS 'What happened; a note is what an app asks to remember.';

ALTER TABLE store_identity ADD COLUMN notes_since timestamptz;
UPDATE store_identity SET notes_since = now();
ALTER TABLE store_identity ALTER COLUMN notes_since SET DEFAULT now(),
    ALTER COLUMN notes_since SET NOT NULL;
COMMENT ON COLUMN store_identity.notes_since IS
    'From when on only interactions of the kind note ask for memories. Before, a message of the '
    'user''s role did so by its payload.';

ALTER TABLE evidence ADD COLUMN origin text;
COMMENT ON COLUMN evidence.origin IS 'Whose words these are; NULL: made before origins were kept.';

ALTER TABLE memories ADD COLUMN origin text;
COMMENT ON COLUMN memories.origin IS
    'Of its least trusted evidence; NULL: made before origins were kept.';

CREATE TABLE review_decisions (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    proposal   bytea NOT NULL,
    approved   boolean NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT now(),
    decided_by text NOT NULL,
    reason     text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, user_id, proposal)
);
COMMENT ON TABLE review_decisions IS
    'What was decided on proposals. A decision holds for every repetition of the proposal, also one '
    'that a replay makes.';
COMMENT ON COLUMN review_decisions.user_id IS
    'Whose proposal it is; the empty text: every user''s of the tenant.';
CREATE INDEX review_decisions_of_tenant ON review_decisions (tenant_id, proposal);
COMMENT ON INDEX review_decisions_of_tenant IS 'Which users decided on a proposal.';
CALL protect_user_table('review_decisions');

CREATE POLICY client ON tenants FOR SELECT TO memory_client USING (tenant_id = bound_tenant());
GRANT SELECT (tenant_id, policy) ON tenants TO memory_client;
CREATE POLICY of_tenant ON review_decisions FOR SELECT TO memory_client
    USING (tenant_id = bound_tenant() AND user_id = '');
