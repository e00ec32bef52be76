-- A name and a secret for one registry elsewhere, and for no other. The secret must be sent as it is, so it
-- is kept as it is; the folder is its owner's alone.
CREATE TABLE upstream_credential (
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  host TEXT NOT NULL,
  username TEXT NOT NULL,
  secret TEXT NOT NULL,
  -- Hosts of token services that may see it, too; separated by blanks.
  realms TEXT NOT NULL,
  PRIMARY KEY (registry_id, name)
) STRICT, WITHOUT ROWID;

-- Repositories that are filled from elsewhere when somebody pulls.
CREATE TABLE cache_rule (
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  -- HOST/REPOSITORY, or HOST/PREFIX/*; http:// before it if the host has no TLS.
  source TEXT NOT NULL,
  -- REPOSITORY, or PREFIX/* or *.
  target TEXT NOT NULL,
  credential TEXT COLLATE NOCASE,
  -- Whether the source may be in a private network.
  is_private INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (registry_id, name),
  UNIQUE (registry_id, target),
  FOREIGN KEY (registry_id, credential) REFERENCES upstream_credential (registry_id, name)
) STRICT, WITHOUT ROWID;
