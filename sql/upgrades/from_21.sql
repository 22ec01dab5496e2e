-- From what the 21 migrations before the baseline made to the tables of the baseline. Functions and
-- comments are not here: `memory migrate` then runs the baseline's own.

-- IF EXISTS: a store that came by way of `from_17.sql` never had those of the last four migrations.
DROP TRIGGER came_due ON users;
DROP TRIGGER turned_due ON users;
DROP TRIGGER kept_insert ON memories;
DROP TRIGGER kept_update ON memories;
DROP TRIGGER kept_delete ON memories;
DROP TRIGGER began_waiting ON change_places;
DROP TRIGGER waits_again ON change_places;
DROP TRIGGER unsealed_insert ON memories;
DROP TRIGGER unsealed_delete ON memories;
DROP TRIGGER unsealed_update ON memories;
DROP TRIGGER IF EXISTS unsealed_insert ON collective_memories;
DROP TRIGGER IF EXISTS unsealed_delete ON collective_memories;
DROP TRIGGER IF EXISTS unsealed_update ON collective_memories;
DROP ROUTINE append_interaction;
DROP FUNCTION IF EXISTS leasable_at, block_of, inverted, unseal_collective_moved,
    unseal_collective_changed, collective_block_of, seal_collective_block;
DROP FUNCTION wake, counted_then, held_then, register_embedder, user_hundredth, serving, member,
    block_lock, unseal_moved, unseal_changed, seal_block, collective_value, collective_key,
    collective_k, collective_spread, collective_digest, collective_jitter, collective_step,
    withdraw_support, withdraw_collective, forget_dead_letters, told, change_of, keep_changes,
    changes_are_kept, keep_insert, keep_update, keep_delete;

ALTER TABLE positions RENAME TO partition_offsets;
ALTER TABLE derivations RENAME TO generation_progress;
ALTER TABLE progress RENAME TO session_progress;
ALTER TABLE recall_uses RENAME TO memory_usage;
ALTER TABLE change_places RENAME TO change_cursors;

ALTER TABLE users RENAME COLUMN lost_leases TO abandoned_leases;
ALTER TABLE session_progress RENAME COLUMN unheard TO crash_count;
ALTER TABLE evidence RENAME COLUMN start_at TO start_offset;
ALTER TABLE evidence RENAME COLUMN end_at TO end_offset;
ALTER TABLE collective_blocks RENAME COLUMN members TO member_count;
ALTER TABLE collective_blocks RENAME COLUMN total TO word_total;
ALTER TABLE collective_blocks RENAME COLUMN words TO word_counts;
ALTER TABLE collective_withdrawals RENAME COLUMN times TO withdrawal_count;
ALTER TABLE job_progress RENAME COLUMN token TO lease_token;
ALTER TABLE change_stream RENAME COLUMN the_one TO singleton;
ALTER TABLE change_stream RENAME COLUMN token TO lease_token;
ALTER TABLE changes RENAME COLUMN at TO changed_at;
ALTER TABLE changes RENAME COLUMN made_in TO transaction_id;
ALTER TABLE dead_letters RENAME COLUMN letter_id TO dead_letter_id;
ALTER SEQUENCE dead_letters_letter_id_seq RENAME TO dead_letters_dead_letter_id_seq;

ALTER INDEX interactions_acts RENAME TO interactions_without_messages;
ALTER INDEX change_places_waiting RENAME TO change_cursors_waiting;
ALTER TABLE generations
    RENAME CONSTRAINT serves_only_what_is_kept_up TO generations_percent_matches_state;
ALTER TABLE tenants RENAME CONSTRAINT policy_readable TO tenants_policy_valid;
ALTER TABLE retractions RENAME CONSTRAINT retractions_check TO retractions_restored_after;
ALTER TABLE memories RENAME CONSTRAINT memories_check TO memories_valid_in_order;
ALTER TABLE memories RENAME CONSTRAINT memories_check1 TO memories_believed_in_order;
ALTER TABLE evidence RENAME CONSTRAINT evidence_check TO evidence_offsets_in_order;

-- The other constraints bear the names of their tables and columns; from Postgres 18 on that is also
-- every NOT NULL. Tables come before columns.
DO $$
DECLARE
    renaming record;
    name     text;
BEGIN
    FOR renaming IN SELECT r.holder, r.old, r.new FROM (VALUES
        (1, 'partition_offsets', 'positions_', 'partition_offsets_'),
        (2, 'generation_progress', 'derivations_', 'generation_progress_'),
        (3, 'session_progress', 'progress_', 'session_progress_'),
        (4, 'memory_usage', 'recall_uses_', 'memory_usage_'),
        (5, 'change_cursors', 'change_places_', 'change_cursors_'),
        (6, 'session_progress', '_unheard_', '_crash_count_'),
        (7, 'users', '_lost_leases_', '_abandoned_leases_'),
        (8, 'evidence', '_start_at_', '_start_offset_'),
        (9, 'evidence', '_end_at_', '_end_offset_'),
        (10, 'collective_blocks', '_members_', '_member_count_'),
        (11, 'collective_blocks', '_total_', '_word_total_'),
        (12, 'collective_blocks', '_words_', '_word_counts_'),
        (13, 'collective_withdrawals', '_times_', '_withdrawal_count_'),
        (14, 'change_stream', '_the_one_', '_singleton_'),
        (15, 'changes', '_at_', '_changed_at_'),
        (16, 'changes', '_made_in_', '_transaction_id_'),
        (17, 'dead_letters', '_letter_id_', '_dead_letter_id_')
    ) AS r(nth, holder, old, new) ORDER BY r.nth LOOP
        FOR name IN SELECT c.conname FROM pg_constraint c
            WHERE c.conrelid = renaming.holder::regclass AND strpos(c.conname, renaming.old) > 0
        LOOP
            EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', renaming.holder, name,
                           replace(name, renaming.old, renaming.new));
        END LOOP;
    END LOOP;
END $$;
