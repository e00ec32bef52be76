-- When it was last pulled, as far as is known; when its last tag went.
ALTER TABLE manifest ADD COLUMN pulled_ms INTEGER;
ALTER TABLE manifest ADD COLUMN untagged_ms INTEGER;

-- What is removed by itself. A NULL condition does not count; days are of 24 hours.
CREATE TABLE retention_rule (
  registry_id INTEGER NOT NULL REFERENCES registry (id),
  name TEXT NOT NULL,
  repositories TEXT NOT NULL,
  tags TEXT NOT NULL,
  keep_newest INTEGER,
  older_than_days INTEGER,
  not_pulled_days INTEGER,
  untagged_days INTEGER,
  PRIMARY KEY (registry_id, name)
) STRICT, WITHOUT ROWID;
