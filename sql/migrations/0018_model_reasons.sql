-- Why a model gave no usable answer, and which sessions were read without it.

ALTER TABLE model_calls ADD COLUMN reason text, ADD COLUMN detail text;
COMMENT ON COLUMN model_calls.reason IS
    'Why there was no usable answer, or why it had to be repaired; NULL: it was usable at once.';
COMMENT ON COLUMN model_calls.detail IS
    'What the server said, and what was done to get and read the answer.';
ALTER TABLE model_calls ALTER COLUMN detail SET STATISTICS 0;

ALTER TABLE session_progress
    ADD COLUMN fallback_from int,
    ADD COLUMN fallback_through int,
    ADD COLUMN fallback_reason text,
    ADD CONSTRAINT session_progress_fallback_is_whole CHECK (
        (fallback_from IS NULL) = (fallback_through IS NULL)
        AND (fallback_from IS NULL) = (fallback_reason IS NULL));
COMMENT ON COLUMN session_progress.fallback_from IS
    'The first ordinal that was read without the model that is configured; NULL: there is none.';
COMMENT ON COLUMN session_progress.fallback_through IS 'The last such ordinal.';
COMMENT ON COLUMN session_progress.fallback_reason IS 'Why the model did not read them.';
CREATE INDEX session_progress_fallbacks ON session_progress (tenant_id, user_id)
    WHERE fallback_from IS NOT NULL;
