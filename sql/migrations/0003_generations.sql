-- What makes vectors and memories: embedders and generations. They belong to no tenant.

CREATE TABLE embedders (
    embedder_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    dimensions  int NOT NULL CHECK (dimensions > 0),
    state       text NOT NULL DEFAULT 'live' CHECK (state IN ('building', 'live', 'retired')),
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE embedders IS
    'What can make vectors. Recall reads the vectors of the live embedder; vectors of two '
    'embedders are never compared.';
CREATE UNIQUE INDEX embedders_one_live ON embedders (state) WHERE state = 'live';
GRANT SELECT ON embedders TO memory_client;
GRANT SELECT, INSERT, UPDATE ON embedders TO memory_worker;

CREATE TABLE generations (
    generation smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name <> ''),
    state      text NOT NULL CHECK (state IN ('shadow', 'live', 'retired')),
    extractors jsonb NOT NULL DEFAULT '{}',
    percent    smallint NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
    followed   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT generations_percent_matches_state CHECK (
        CASE state WHEN 'live' THEN percent = 100 AND followed
                   WHEN 'shadow' THEN percent = 0 OR followed
                   ELSE percent = 0 AND NOT followed END)
);
COMMENT ON TABLE generations IS 'All memories made by one set of extractor versions.';
COMMENT ON COLUMN generations.extractors IS 'The version of each extractor, by its name.';
COMMENT ON COLUMN generations.percent IS
    'Of the users whom the generation serves. A shadow takes its users from the live generation.';
COMMENT ON COLUMN generations.followed IS
    'Extraction derives new interactions for this generation as soon as for the live one.';
CREATE UNIQUE INDEX generations_serving ON generations (state) WHERE percent > 0;
COMMENT ON INDEX generations_serving IS
    'At most one live generation, and at most one shadow that takes users from it.';
GRANT SELECT ON generations TO memory_client;
GRANT SELECT, INSERT, UPDATE ON generations TO memory_worker;
INSERT INTO generations (name, state, percent, followed) VALUES ('first', 'live', 100, true);

CREATE TABLE generation_progress (
    tenant_id  text NOT NULL,
    user_id    text NOT NULL,
    generation smallint NOT NULL,
    position   bigint NOT NULL,
    forget_seq bigint NOT NULL,
    derived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, generation)
);
COMMENT ON TABLE generation_progress IS
    'How far a generation beside the live one has derived a user; it commits after the memories '
    'it made. No row: never to the end. For the live generation the row in users says it.';
COMMENT ON COLUMN generation_progress.position IS 'The last position of the user''s log it read.';
COMMENT ON COLUMN generation_progress.forget_seq IS
    'The value of users.forget_seq at that time; a greater one now: more was forgotten since.';
CALL protect_user_table('generation_progress');
