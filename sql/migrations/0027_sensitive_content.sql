-- Secrets and personal data: a tenant's policy says what becomes of them.

ALTER TABLE tenants ADD CONSTRAINT tenants_sensitive_valid CHECK (
    NOT policy ? 'sensitive'
    OR jsonb_typeof(policy->'sensitive') = 'object' AND NOT jsonb_path_exists(policy,
        '$.sensitive.* ? (@ != "keep" && @ != "mask" && @ != "mask_in_log" && @ != "refuse")'));
COMMENT ON CONSTRAINT tenants_sensitive_valid ON tenants IS
    'An action that no release knows would keep what it was to mask.';

ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_reason_check;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_reason_check CHECK (
    reason IN ('oversize', 'not_json', 'unknown_version', 'invalid', 'wrong_key', 'future',
        'conflict', 'no_value', 'refused', 'unlisted_tenant', 'suspended_tenant', 'over_quota',
        'sensitive'));

CREATE FUNCTION repeats(quote text, said text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT quote = said OR position('•' IN quote) > 0 AND said LIKE
        replace(replace(replace(replace(quote, '\', '\\'), '%', '\%'), '_', '\_'), '•', '_')
$$;
COMMENT ON FUNCTION repeats IS
    'Whether a quote is what was said, each of its masked characters being any one. In the database '
    'because the jobs compare all quotes with the log there.';

CALL secure_tables();
