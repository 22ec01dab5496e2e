-- The model path: which prompts were used, what every call cost, and answers kept for replay.

-- Prompts as they read at first use. The same version never reads otherwise.
CREATE TABLE prompts (
    name        text NOT NULL CHECK (name <> ''),
    version     text NOT NULL CHECK (version <> ''),
    hash        text NOT NULL,
    text        text NOT NULL,
    response    jsonb NOT NULL,  -- the JSON schema that answers have to fit
    first_used  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
GRANT SELECT ON prompts TO memory_client;
GRANT SELECT, INSERT ON prompts TO memory_worker;

-- Every model call made over one user's log, cached ones included. It goes with the user.
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
    requests       int NOT NULL,          -- sent for it, retries included
    input_tokens   int NOT NULL,
    output_tokens  int NOT NULL,
    cost           double precision NOT NULL,
    seconds        double precision NOT NULL,
    kept           int,                   -- proposals whose quotes were found
    refused        jsonb,                 -- proposals that were not believed, by reason
    answer         text,                  -- of an unusable answer, what it said
    PRIMARY KEY (tenant_id, user_id, call_id)
);
CREATE INDEX model_calls_newest ON model_calls (tenant_id, called_at);

-- What was answered to what, so that replay pays only for what changed. `answer_key` is a digest of
-- the prompt's hash, the model and the input. Forgetting anything of a user forgets them all.
CREATE TABLE model_answers (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    answer_key bytea NOT NULL,
    answer     text NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, answer_key)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['model_calls', 'model_answers'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY client ON %I TO memory_client
                 USING (tenant_id = bound_tenant() AND user_id = bound_user())', name);
        EXECUTE format(
            'CREATE POLICY worker ON %I TO memory_worker USING (tenant_id = bound_tenant())', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO memory_client, memory_worker',
                       name);
    END LOOP;
END $$;
ALTER TABLE model_answers ALTER COLUMN answer SET STATISTICS 0;
ALTER TABLE model_calls ALTER COLUMN answer SET STATISTICS 0;

-- The sums over calls, which say nothing of users and so stay when a user is forgotten.
CREATE TABLE model_spend (
    tenant_id      text NOT NULL,
    day            date NOT NULL,         -- UTC
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
ALTER TABLE model_spend ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY worker ON model_spend TO memory_worker USING (tenant_id = bound_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON model_spend TO memory_worker;
