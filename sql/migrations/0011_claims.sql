-- Fair turns for extraction, and wakening instead of polling.

ALTER TABLE users ADD COLUMN backfill boolean NOT NULL DEFAULT false;  -- all that waits is history
DROP INDEX users_due;
CREATE INDEX users_due ON users (backfill, due_at) WHERE due_at IS NOT NULL;
ALTER TABLE progress ADD COLUMN retry_at timestamptz;  -- of a failed session: not before then

-- When extraction may lease a user: due, held by nobody, and quiet for `quiet` seconds; or with
-- `full` interactions waiting; or due for five times as long as it should have been quiet.
CREATE FUNCTION leasable_at(u users, quiet float8, full_at int) RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN GREATEST(u.due_at, u.leased_until,
        CASE WHEN u.position - u.extracted < full_at
             THEN LEAST(u.recorded_at + make_interval(secs => quiet),
                        u.due_at + make_interval(secs => 5 * quiet)) END);

-- Notifies the trigger's channel at commit, unless another transaction is just about to: a commit
-- that notifies keeps every other one that does waiting for its write to disk. Who listens looks
-- again a little later, for those that left it to another.
CREATE FUNCTION wake() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtextextended(TG_ARGV[0], 0)) THEN
        PERFORM pg_notify(TG_ARGV[0], '');
    END IF;
    RETURN NULL;
END $$;

-- Deferred to the commit, so that a long transaction does not keep others from notifying.
CREATE CONSTRAINT TRIGGER came_due AFTER INSERT ON users
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.due_at IS NOT NULL)
    EXECUTE FUNCTION wake('memory_due');
CREATE CONSTRAINT TRIGGER turned_due AFTER UPDATE ON users
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.due_at IS NULL AND NEW.due_at IS NOT NULL OR NEW.due_at < OLD.due_at)
    EXECUTE FUNCTION wake('memory_due');
