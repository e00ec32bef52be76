-- A disabled subscription can be read, and nothing in it changed.
ALTER TABLE subscription ADD COLUMN is_disabled INTEGER NOT NULL DEFAULT 0;
