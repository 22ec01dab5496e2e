-- The planner keeps no statistics of words, ids and digests. EXPLAIN estimates from them, also for
-- rows that row-level security hides, so whoever may run SQL could ask it for those of other tenants.
-- Statistics of numbers, truth values and times stay: without them the planner would take most users
-- to be due and most memories to be closed.

CREATE PROCEDURE keep_no_statistics()
    LANGUAGE plpgsql
    SET search_path = memory, pg_temp
AS $$
DECLARE
    cleared text := CASE WHEN to_regprocedure(
        'pg_clear_attribute_stats(text, text, text, boolean)') IS NOT NULL
        THEN 'SELECT pg_clear_attribute_stats(''memory'', %L, %L, false)'
        WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        THEN 'DELETE FROM pg_statistic WHERE starelid = ''memory.%I''::regclass
            AND staattnum = (SELECT attnum FROM pg_attribute
                WHERE attrelid = starelid AND attname = %L)' END;
    kept record;
BEGIN
    FOR kept IN
        SELECT c.relname, c.relkind, a.attname, a.attnum
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relnamespace = 'memory'::regnamespace
            AND (c.relkind IN ('r', 'p', 'm') OR i.indkey[a.attnum - 1] = 0)
            AND COALESCE(a.attstattarget, -1) <> 0
            AND a.atttypid <> ALL ('{int2, int4, int8, float4, float8, bool, date, timestamptz}'::regtype[])
    LOOP
        IF kept.relkind IN ('i', 'I') THEN
            EXECUTE format('ALTER INDEX %I ALTER COLUMN %s SET STATISTICS 0', kept.relname, kept.attnum);
        ELSE
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET STATISTICS 0', kept.relname, kept.attname);
        END IF;
        IF cleared IS NOT NULL THEN
            EXECUTE format(cleared, kept.relname, kept.attname);
        END IF;
    END LOOP;
END $$;
REVOKE EXECUTE ON PROCEDURE keep_no_statistics FROM PUBLIC;
COMMENT ON PROCEDURE keep_no_statistics() IS
    'Has the planner gather no statistics of any column or index expression but numbers, truth '
    'values and times, and removes what it has: ANALYZE would leave it. On Postgres 16 and 17 only '
    'a superuser can remove it. In the database because every migration that makes a table, a '
    'column or an index over an expression calls it.';

CALL keep_no_statistics();
