-- No text is too long for an index: what people say must not stop what they say next.

CREATE FUNCTION text_digest(content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT sha256(convert_to(content, 'UTF8')) $$;
COMMENT ON FUNCTION text_digest IS
    'The SHA-256 of a text. In the database because an index needs it, and immutable since the '
    'encoding is always named.';

COMMENT ON COLUMN users.backfill IS
    'All that waits for extraction is imported history or failed before: others come first.';

DROP INDEX memories_one_belief;
CREATE UNIQUE INDEX memories_one_belief
    ON memories (tenant_id, user_id, generation, belief_key, valid_from,
        text_digest(COALESCE(value, '')))
    WHERE believed_to IS NULL;
COMMENT ON INDEX memories_one_belief IS
    'The same belief is never believed twice at once. A digest of the value, since an index row '
    'has to fit a page.';

DROP INDEX memories_subjects;
CREATE INDEX memories_subjects ON memories (tenant_id, subject)
    WHERE subject IS NOT NULL AND length(subject) <= 200;
COMMENT ON INDEX memories_subjects IS
    'Names to keep out of the collective tier. Longer subjects are no names: an index row has to '
    'fit a page.';
