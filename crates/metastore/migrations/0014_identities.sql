-- What an assignment says besides who holds what where.
ALTER TABLE role_assignment ADD COLUMN condition TEXT;
ALTER TABLE role_assignment ADD COLUMN description TEXT;
ALTER TABLE role_assignment ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE role_assignment ADD COLUMN updated_ms INTEGER;
ALTER TABLE role_assignment ADD COLUMN updated_by TEXT NOT NULL DEFAULT '';

-- Who gets into a registry besides those who hold roles. The admin user's passwords are made of the server's
-- key and these numbers: no row tells them.
ALTER TABLE registry ADD COLUMN admin_enabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN admin_password INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN admin_password2 INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN anonymous_pull INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE registry ADD COLUMN changed_ms INTEGER;
ALTER TABLE registry ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE registry ADD COLUMN retention_changed_ms INTEGER;

CREATE TABLE scope_map (
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  description TEXT NOT NULL,
  actions TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (registry_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE registry_token (
  id TEXT PRIMARY KEY,
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  scope_map TEXT NOT NULL COLLATE NOCASE,
  is_enabled INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  UNIQUE (registry_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE registry_token_password (
  token_id TEXT NOT NULL REFERENCES registry_token (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER,
  PRIMARY KEY (token_id, name)
) STRICT, WITHOUT ROWID;
