-- of_tenant --
-- The tenant's policy, and since when only notes ask for memories in this store.
-- unscoped: the row belongs to the tenant
SELECT notes_since, (SELECT policy FROM tenants WHERE tenant_id = %(tenant)s) AS policy
FROM store_identity
