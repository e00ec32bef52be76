-- Queries that were given a name, as resources of a group.
CREATE TABLE saved_query (
  subscription_id TEXT NOT NULL,
  resource_group TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL COLLATE NOCASE,
  description TEXT NOT NULL,
  query TEXT NOT NULL,
  changed_ms INTEGER NOT NULL,
  PRIMARY KEY (subscription_id, resource_group, name),
  FOREIGN KEY (subscription_id, resource_group) REFERENCES resource_group (subscription_id, name)
) STRICT, WITHOUT ROWID;
