-- A JSON object of text, as a registry's.
ALTER TABLE resource_group ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
