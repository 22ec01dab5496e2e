-- bind --
-- Binds tenant and user to the transaction: what row-level security then lets through.
SELECT set_config('memory.tenant_id', %(tenant)s, true),
       set_config('memory.user_id', %(user)s, true)
