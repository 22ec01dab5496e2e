-- Spreads the tables of a migrated store over the nodes of a Citus cluster: every row of a tenant on
-- one shard. Untried: no Citus was at hand. What its published rules ask of keys and triggers is
-- checked in tests/test_distribute.py; docs/scale.md lists what has to change in the code before a
-- store can run there.
--
-- Run it once, as the owner, on the coordinator, in a store that `memory migrate` has just made:
--
--     psql "$MEMORY_DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f sql/distribute.sql

SET search_path = memory, public;

-- The triggers of `users`, `memories`, `collective_memories` and `change_cursors` read and write only
-- rows of the tenant whose row was written. Citus leaves it to the operator to promise that.
SET LOCAL citus.enable_unsafe_triggers = on;

-- Reference tables: small, the same on every node, joined by every tenant.
SELECT create_reference_table('embedders');
SELECT create_reference_table('generations');
SELECT create_reference_table('prompts');
SELECT create_reference_table('store_settings');
SELECT create_reference_table('tenant_logins');

-- Distributed tables: a tenant's rows of all of them lie together.
SELECT create_distributed_table('users', 'tenant_id', shard_count => 32);
SELECT create_distributed_table('generation_progress', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('sessions', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('task_state', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('interactions', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('retractions', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('tombstones', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('assertions', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('memories', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('evidence', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('embeddings', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('session_progress', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('forgotten_beliefs', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('review_decisions', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('memory_usage', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('recall_blocks', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('extraction_limits', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('notification_turns', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('tenant_admissions', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('tenant_usage', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('tenants', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('collective_memories', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('collective_embeddings', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('collective_blocks', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('collective_support', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('collective_withdrawals', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('job_progress', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('change_cursors', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('changes', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('model_calls', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('model_answers', 'tenant_id', colocate_with => 'users');
SELECT create_distributed_table('model_spend', 'tenant_id', colocate_with => 'users');

-- Local tables stay on the coordinator, where ingestion and the publisher run:
-- schema_migrations, store_identity, partition_offsets, dead_letters, change_stream
