-- read --
-- The store's identity and place, by which its consumer group is named.
-- unscoped: the store belongs to no tenant
SELECT identity, made_at, store_place() AS place FROM store_identity

-- renew --
-- Gives the store a new identity: it is a copy of another that goes on.
-- unscoped: the store belongs to no tenant
UPDATE store_identity SET identity = gen_random_uuid(), made_at = now()
RETURNING identity, made_at, store_place() AS place
