-- bind --
-- Binds tenant and user to the transaction: what row-level security then lets through.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true)

-- bind_point --
-- As `bind`, for a statement that touches only rows it names by their whole key, such as
-- `log.append_one`. Planning costs more than running it, and there is nothing to choose: one plan
-- made without the values, and never a scan, serves however the tables grow.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true),
       set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true)

-- bind_read --
-- As `bind`, for statements that say `-- one plan`. Without scans their plan is right however the
-- tables grow; the memory is for reading all of a user's memories at once.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true),
       set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_seqscan', 'off', true),
       set_config('work_mem', '64MB', true)
