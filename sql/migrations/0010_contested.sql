-- The values that rival a memory where nothing decides between them.
ALTER TABLE memories ADD COLUMN contested text[] NOT NULL DEFAULT '{}';
ALTER TABLE memories ALTER COLUMN contested SET STATISTICS 0;  -- what users said
