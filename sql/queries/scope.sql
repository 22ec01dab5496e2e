-- bind --
-- Binds tenant and user to the transaction, for row-level security.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true)

-- bind_read --
-- As `bind`, for statements that say `-- one plan`. Without scans their plan is right however the
-- tables grow; the memory is for reading all of a user's memories at once.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true),
       set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true),
       set_config('work_mem', '64MB', true)

-- bind_batch --
-- As `bind`, for a statement over staged rows, of which the planner knows nothing: it would join few
-- rows by comparing each with each, and there are thousands.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true),
       set_config('enable_nestloop', 'off', true)
