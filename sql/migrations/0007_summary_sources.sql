-- Where each line of a session's rolling summary was said: the ids of the interactions it quotes.
ALTER TABLE sessions ADD COLUMN summary_sources text[] NOT NULL DEFAULT '{}';
