-- all --
-- Every generation, in the order they were begun.
-- unscoped: generations belong to no tenant
SELECT generation, name, state, percent, followed, extractors, created_at FROM generations
ORDER BY generation

-- derived --
-- Notes how far a generation beside the live one has come for a user, while the lease is held.
INSERT INTO derivations AS d (tenant_id, user_id, generation, position, forget_seq)
SELECT tenant_id, user_id, %(generation)s, %(position)s, %(forget_seq)s FROM users
WHERE tenant_id = %(tenant)s AND user_id = %(user)s AND lease_token = %(lease)s
FOR NO KEY UPDATE
ON CONFLICT (tenant_id, user_id, generation)
    DO UPDATE SET position = excluded.position, forget_seq = excluded.forget_seq, derived_at = now()
