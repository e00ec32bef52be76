-- Tags that cannot be moved, by patterns.
CREATE TABLE immutable_tags (
  registry_id INTEGER NOT NULL REFERENCES registry (id),
  name TEXT NOT NULL,
  repositories TEXT NOT NULL,
  tags TEXT NOT NULL,
  PRIMARY KEY (registry_id, name)
) STRICT, WITHOUT ROWID;
