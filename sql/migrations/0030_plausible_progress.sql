-- Who writes SQL as a client may write anything into its own rows, and workers read the rows of all
-- tenants in one statement. So these columns hold only what such a statement can compute with, and
-- what a worker can read.

ALTER TABLE users ADD CONSTRAINT users_plausible CHECK (
    char_length(user_id) <= 200
    AND position BETWEEN 0 AND 10000000000 AND extracted BETWEEN 0 AND 10000000000
    AND bytes BETWEEN -1000000000000000 AND 1000000000000000
    AND change_seq BETWEEN 0 AND 1000000000000000 AND forget_seq BETWEEN 0 AND 1000000000000000
    AND abandoned_leases BETWEEN 0 AND 1000000000
    AND recorded_at BETWEEN '2000-01-01 00:00+00' AND '9000-01-01 00:00+00'
    AND due_at BETWEEN '2000-01-01 00:00+00' AND '9000-01-01 00:00+00'
    AND leased_until BETWEEN '2000-01-01 00:00+00' AND '9000-01-01 00:00+00') NOT VALID;
COMMENT ON CONSTRAINT users_plausible ON users IS
    'One row that cannot be read or added up would keep workers from every tenant.';

ALTER TABLE session_progress ADD CONSTRAINT session_progress_plausible CHECK (
    attempts BETWEEN 0 AND 1000000000 AND crash_count BETWEEN 0 AND 1000000000
    AND retry_at BETWEEN '2000-01-01 00:00+00' AND '9000-01-01 00:00+00') NOT VALID;
COMMENT ON CONSTRAINT session_progress_plausible ON session_progress IS
    'A user is due when the first of its sessions may be retried; see users_plausible.';

ALTER TABLE change_cursors ADD CONSTRAINT change_cursors_plausible CHECK (
    char_length(user_id) <= 200
    AND last_seq BETWEEN 0 AND 1000000000000000
    AND published_seq BETWEEN 0 AND 1000000000000000
    AND waiting_since BETWEEN '2000-01-01 00:00+00' AND '9000-01-01 00:00+00') NOT VALID;
COMMENT ON CONSTRAINT change_cursors_plausible ON change_cursors IS
    'One publisher goes through all tenants; see users_plausible.';
