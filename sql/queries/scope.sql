-- isolate --
-- The first statement of a transaction that no BEGIN opens. Each statement then sees what was
-- committed before it: recall blocks and much else rely on that, whatever the server's default. It
-- holds for this transaction alone, though it does not say LOCAL, which warns where none is open.
-- unscoped: touches no table
SET transaction_isolation TO 'read committed'

-- bind --
-- Binds tenant and user to the transaction, for row-level security, and sets all that its
-- statements rely on. Nothing outlasts the transaction, so a pooler may give the connection to
-- anybody after it. What the session may have among its temporary tables comes last. Custom plans,
-- because a generic plan made while a table was empty stays on the wrong index as it grows. No JIT:
-- it compiles for seconds where a plan looks expensive because a kind of node is disabled. A
-- transaction whose client was cut off ends soon, with its locks. A login that is another tenant's
-- is refused.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true),
       set_config('role', %(role)s, true),
       set_config('row_security', 'on', true),
       set_config('search_path', 'memory, public, pg_temp', true),
       set_config('timezone', 'UTC', true),
       set_config('datestyle', 'ISO', true),
       set_config('jit', 'off', true),
       set_config('statement_timeout', %(statement_timeout)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       CASE WHEN %(tenant)s <> '' AND memory.bound_tenant() IS DISTINCT FROM %(tenant)s
            THEN memory.refuse_tenant(%(tenant)s) END

-- admit --
-- Refuses a tenant that the store does not serve: it comes after every binding of a client.
-- unscoped: the row belongs to the tenant
SELECT check_tenant(%(tenant)s)

-- bind_read --
-- As `bind`, for statements that say `-- one plan`. Without scans their plan is right however the
-- tables grow; the memory is for reading all of a user's memories at once.
-- bind, but for: set_config('plan_cache_mode', 'force_custom_plan', true)
set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true),
       set_config('work_mem', '64MB', true)

-- bind_batch --
-- As `bind`, for a statement over staged rows, of which the planner knows nothing: it would join few
-- rows by comparing each with each, and there are thousands.
-- bind, but for: set_config('plan_cache_mode', 'force_custom_plan', true)
set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('enable_nestloop', 'off', true)

-- bound_waiting --
-- How long the transaction waits for a lock: another process may have been stopped while it held it.
-- unscoped: touches no table
SELECT set_config('lock_timeout', %(timeout)s, true)
