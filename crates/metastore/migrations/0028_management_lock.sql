-- Locks of subscriptions, groups and registries, which hold beneath them, too.
CREATE TABLE management_lock (
  -- An ARM id.
  scope TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL COLLATE NOCASE,
  level TEXT NOT NULL CHECK (level IN ('CanNotDelete', 'ReadOnly')),
  notes TEXT NOT NULL,
  PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- JSON, as those of groups and registries.
ALTER TABLE subscription ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
