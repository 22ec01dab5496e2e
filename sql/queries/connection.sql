-- alive --
-- Answers if the connection still leads to a server.
-- unscoped: touches no table
SELECT

-- backend --
-- The server's own number for this connection's process; a pooler tells its clients another one.
-- unscoped: touches no table
SELECT pg_backend_pid() AS pid
