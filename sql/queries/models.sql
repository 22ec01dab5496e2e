-- use_prompt --
-- Stores the text of a prompt at the first use of its version; returns the hash of an earlier first
-- use. No row if this is the first use.
-- unscoped: prompts belong to no tenant
WITH new AS (
    INSERT INTO prompts (name, version, hash, text, response)
    VALUES (%(name)s, %(version)s, %(hash)s, %(text)s, %(response)s)
    ON CONFLICT (name, version) DO NOTHING
)
SELECT hash FROM prompts WHERE name = %(name)s AND version = %(version)s

-- prompts --
-- Every prompt that was used, by name, oldest version first.
-- unscoped: prompts belong to no tenant
SELECT name, version, hash, text, first_used FROM prompts ORDER BY name, first_used

-- spent_today --
-- What the bound tenant's calls cost since midnight UTC, in money and in tokens, its quota of tokens,
-- and seconds until the next midnight.
SELECT COALESCE(sum(cost), 0)::float8 AS spent,
    COALESCE(sum(input_tokens + output_tokens), 0)::bigint AS tokens,
    (SELECT model_tokens_a_day FROM tenant_admissions WHERE tenant_id = %(tenant)s) AS most_tokens,
    EXTRACT(epoch FROM ((now() AT TIME ZONE 'UTC')::date + 1) - (now() AT TIME ZONE 'UTC'))::float8
        AS renewed
FROM model_spend
WHERE tenant_id = %(tenant)s AND day = (now() AT TIME ZONE 'UTC')::date

-- deferred --
-- How many sessions of the bound tenant, or of one user of it, were postponed for each of the given
-- reasons (the error's name), and when the first of them is read again.
SELECT split_part(error, ':', 1) AS reason, count(*) AS sessions, min(retry_at) AS resumes
FROM session_progress
WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)
    AND retry_at IS NOT NULL AND set_aside_at IS NULL
    AND split_part(error, ':', 1) = ANY(%(reasons)s)
GROUP BY reason ORDER BY reason

-- failures --
-- How many of the bound tenant's calls of the last day, or of one user of it, brought no usable
-- answer, by model and reason, most first.
SELECT model, reason, count(*) AS calls, max(called_at) AS newest
FROM model_calls
WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)
    AND called_at > now() - interval '1 day' AND reason IS NOT NULL
    AND outcome NOT IN ('answered', 'repaired')
GROUP BY model, reason ORDER BY calls DESC, model, reason

-- fallbacks --
-- How many sessions of the bound tenant, or of one user of it, were read without the model that is
-- configured, by generation and reason.
SELECT g.name AS generation, p.fallback_reason AS reason, count(*) AS sessions
FROM session_progress p JOIN generations g USING (generation)
WHERE p.tenant_id = %(tenant)s AND (%(user)s = '' OR p.user_id = %(user)s)
    AND p.fallback_from IS NOT NULL AND g.state <> 'retired'
GROUP BY g.generation, g.name, p.fallback_reason
ORDER BY g.generation, sessions DESC, reason

-- answer --
-- The answer kept under a key.
SELECT answer FROM model_answers
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND answer_key = %(answer_key)s

-- keep_answer --
-- Keeps an answer under a key.
INSERT INTO model_answers AS a (tenant_id, user_id, answer_key, answer)
VALUES (%(tenant)s, %(user)s, %(answer_key)s, %(answer)s)
ON CONFLICT (tenant_id, user_id, answer_key) DO UPDATE SET answer = excluded.answer

-- record --
-- Stores a call, adds it to the sums of its day, and with `answer_key` keeps its answer;
-- `generation` defaults to the serving one.
WITH call AS (
    INSERT INTO model_calls (tenant_id, user_id, call_id, session_id, generation, task, prompt,
        prompt_version, prompt_hash, model, outcome, cached, requests, input_tokens, output_tokens,
        cost, seconds, answer, reason, detail)
    VALUES (%(tenant)s, %(user)s, %(call)s, %(session)s, COALESCE(%(generation)s::smallint,
            (SELECT generation FROM generations WHERE state = 'live')), %(task)s, %(prompt)s,
        %(version)s, %(hash)s, %(model)s, %(outcome)s, %(cached)s, %(requests)s, %(input)s,
        %(output)s, %(cost)s, %(seconds)s, NULLIF(%(unusable)s, ''), %(reason)s,
        NULLIF(%(detail)s, ''))
    RETURNING *
), kept AS (
    INSERT INTO model_answers AS a (tenant_id, user_id, answer_key, answer)
    SELECT %(tenant)s, %(user)s, %(answer_key)s, %(answer)s WHERE %(answer_key)s::bytea IS NOT NULL
    ON CONFLICT (tenant_id, user_id, answer_key) DO UPDATE SET answer = excluded.answer
)
INSERT INTO model_spend AS s (tenant_id, day, generation, task, prompt, prompt_version, prompt_hash,
    model, calls, cached, failed, input_tokens, output_tokens, cost, seconds)
SELECT tenant_id, (called_at AT TIME ZONE 'UTC')::date, generation, task, prompt, prompt_version,
    prompt_hash, model, 1, cached::int, (outcome NOT IN ('answered', 'repaired'))::int,
    input_tokens, output_tokens, cost, seconds
FROM call
ON CONFLICT (tenant_id, day, generation, task, prompt, prompt_version, model, prompt_hash)
    DO UPDATE SET calls = s.calls + 1, cached = s.cached + excluded.cached,
        failed = s.failed + excluded.failed,
        input_tokens = s.input_tokens + excluded.input_tokens,
        output_tokens = s.output_tokens + excluded.output_tokens,
        cost = s.cost + excluded.cost, seconds = s.seconds + excluded.seconds

-- ground --
-- Adds the results of checking its proposals to a call.
UPDATE model_calls SET kept = %(kept)s, refused = %(refused)s
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND call_id = %(call)s

-- calls --
-- The bound tenant's newest calls, or one user's, or those with one outcome.
SELECT user_id, call_id, session_id, called_at, task, prompt, prompt_version, model, outcome,
    cached, requests, input_tokens, output_tokens, cost, seconds, kept, refused, answer, reason, detail
FROM model_calls
WHERE tenant_id = %(tenant)s AND (%(user)s = '' OR user_id = %(user)s)
    AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
ORDER BY called_at DESC, call_id
LIMIT %(limit)s

-- costs --
-- The bound tenant's sums of model calls since a day, by generation, task, prompt, model and day.
SELECT s.day, g.name AS generation, s.task, s.prompt, s.prompt_version, s.model, s.calls, s.cached,
    s.failed, s.input_tokens, s.output_tokens, s.cost, s.seconds
FROM model_spend s JOIN generations g USING (generation)
WHERE s.tenant_id = %(tenant)s AND (%(since)s::date IS NULL OR s.day >= %(since)s::date)
ORDER BY s.day, s.generation, s.task, s.prompt, s.prompt_version, s.model

-- forget_answers --
-- Deletes what models answered about a user: every answer may hold the forgotten words.
WITH said AS (
    UPDATE model_calls SET answer = NULL, detail = NULL
    WHERE tenant_id = %(tenant)s AND user_id = %(user)s
        AND (answer IS NOT NULL OR detail IS NOT NULL)
)
SELECT delete_model_answers()

-- forget_calls --
-- Deletes every call about a user's log; their sums name no user and stay.
-- unscoped: the function reads tenant and user from the binding
SELECT delete_model_calls()
