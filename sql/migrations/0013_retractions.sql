-- Retraction: interactions that stay in the log and count for nothing, and who said so, when and why.

-- NULL: it counts. Whatever derives from the log or shows it leaves out the others.
ALTER TABLE interactions ADD COLUMN retracted_at timestamptz;
CREATE INDEX interactions_retracted ON interactions (tenant_id, user_id, interaction_id)
    WHERE retracted_at IS NOT NULL;

-- Each time an interaction was retracted, and until when; NULL: it still is.
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
    CHECK (restored_at IS NULL OR restored_at >= retracted_at),
    PRIMARY KEY (tenant_id, user_id, interaction_id, retracted_at)
);
ALTER TABLE retractions ALTER COLUMN reason SET STATISTICS 0,
    ALTER COLUMN restored_reason SET STATISTICS 0;
ALTER TABLE retractions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY client ON retractions TO memory_client
    USING (tenant_id = bound_tenant() AND user_id = bound_user());
CREATE POLICY worker ON retractions TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON retractions TO memory_client, memory_worker;

-- reread_through: up to there a session that was rewound had been read before, so what is made of it
--     again takes the place of all that was made of it then.
-- reread_at: when the newest retraction or restoration rewound it; what is made of it again is
--     believed from then on.
ALTER TABLE progress
    ADD COLUMN reread_through int NOT NULL DEFAULT 0,
    ADD COLUMN reread_at timestamptz;
