-- The language models: which prompts were used, what every call cost, and answers kept for replay.

CREATE TABLE prompts (
    name       text NOT NULL CHECK (name <> ''),
    version    text NOT NULL CHECK (version <> ''),
    hash       text NOT NULL,
    text       text NOT NULL,
    response   jsonb NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE prompts IS
    'Prompts as they read at their first use. The same version never reads otherwise.';
COMMENT ON COLUMN prompts.response IS 'The JSON schema that answers have to fit.';
GRANT SELECT ON prompts TO memory_client;
GRANT SELECT, INSERT ON prompts TO memory_worker;

CREATE TABLE model_calls (
    tenant_id      text NOT NULL,
    user_id        text NOT NULL,
    call_id        uuid NOT NULL DEFAULT gen_random_uuid(),
    session_id     text,
    called_at      timestamptz NOT NULL DEFAULT now(),
    generation     smallint NOT NULL,
    task           text NOT NULL CHECK (task IN ('extract', 'consolidate', 'summarise')),
    prompt         text NOT NULL,
    prompt_version text NOT NULL,
    prompt_hash    text NOT NULL,
    model          text NOT NULL,
    outcome        text NOT NULL,
    cached         boolean NOT NULL,
    requests       int NOT NULL,
    input_tokens   int NOT NULL,
    output_tokens  int NOT NULL,
    cost           double precision NOT NULL,
    seconds        double precision NOT NULL,
    kept           int,
    refused        jsonb,
    answer         text,
    PRIMARY KEY (tenant_id, user_id, call_id)
);
COMMENT ON TABLE model_calls IS
    'Every model call made over one user''s log, cached ones included. It goes with the user.';
COMMENT ON COLUMN model_calls.requests IS 'How many were sent for the call, retries included.';
COMMENT ON COLUMN model_calls.kept IS 'How many proposals had quotes that were found in the log.';
COMMENT ON COLUMN model_calls.refused IS 'How many proposals were not believed, by reason.';
COMMENT ON COLUMN model_calls.answer IS 'What an unusable answer said; NULL: it was usable.';
CREATE INDEX model_calls_newest ON model_calls (tenant_id, called_at);
ALTER TABLE model_calls ALTER COLUMN answer SET STATISTICS 0;
CALL protect_user_table('model_calls');

CREATE TABLE model_answers (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    answer_key bytea NOT NULL,
    answer     text NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, answer_key)
);
COMMENT ON TABLE model_answers IS
    'What was answered to what, so that replay pays only for what changed. Forgetting anything of '
    'a user forgets all answers about the user.';
COMMENT ON COLUMN model_answers.answer_key IS
    'A digest of the prompt''s hash, the model and the input.';
ALTER TABLE model_answers ALTER COLUMN answer SET STATISTICS 0;
CALL protect_user_table('model_answers');

CREATE TABLE model_spend (
    tenant_id      text NOT NULL,
    day            date NOT NULL,
    generation     smallint NOT NULL,
    task           text NOT NULL,
    prompt         text NOT NULL,
    prompt_version text NOT NULL,
    prompt_hash    text NOT NULL,
    model          text NOT NULL,
    calls          int NOT NULL,
    cached         int NOT NULL,
    failed         int NOT NULL,
    input_tokens   bigint NOT NULL,
    output_tokens  bigint NOT NULL,
    cost           double precision NOT NULL,
    seconds        double precision NOT NULL,
    PRIMARY KEY (tenant_id, day, generation, task, prompt, prompt_version, model, prompt_hash)
);
COMMENT ON TABLE model_spend IS
    'The sums over model calls. They say nothing of users and stay when a user is forgotten.';
COMMENT ON COLUMN model_spend.day IS 'In UTC.';
CALL protect_tenant_table('model_spend');
