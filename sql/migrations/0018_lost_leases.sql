-- What ends its worker tells nobody: leases that were not given back do.

ALTER TABLE users ADD COLUMN lost_leases int NOT NULL DEFAULT 0;  -- in a row, before the last one
ALTER TABLE progress ADD COLUMN unheard int NOT NULL DEFAULT 0;   -- times begun after such a lease,
                                                                  -- with no word of it since
