-- settings --
-- Settings of every pooled connection. Each statement of a transaction sees what was committed
-- before it: recall blocks and much else rely on that, whatever the server's default. Custom plans,
-- because a generic plan made while a table was empty stays on the wrong index as it grows. A
-- transaction whose client was cut off ends soon, with its locks.
-- unscoped: touches no table
SELECT set_config('role', %(role)s, false),
       set_config('search_path', 'memory, public', false),
       set_config('timezone', 'UTC', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('plan_cache_mode', 'force_custom_plan', false),
       set_config('statement_timeout', %(statement_timeout)s, false),
       set_config('idle_in_transaction_session_timeout', %(statement_timeout)s, false)

-- alive --
-- Answers if the connection still leads to a server.
-- unscoped: touches no table
SELECT

-- bounds --
-- How long a connection may keep others waiting: a process that is stopped in the middle of a
-- transaction must not hold users and positions for ever.
-- unscoped: touches no table
SELECT set_config('idle_in_transaction_session_timeout', %(idle)s, false),
       set_config('lock_timeout', %(lock)s, false)
