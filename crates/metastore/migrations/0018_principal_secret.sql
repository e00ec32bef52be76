-- A principal's secrets: several are good at once while they are rotated. The id is what tokens name.
CREATE TABLE principal_secret (
  id TEXT PRIMARY KEY,
  principal_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  hash TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX principal_secret_of ON principal_secret (principal_id);

-- A random GUID (RFC 9562, version 4) for each that there is.
INSERT INTO principal_secret (id, principal_id, name, hash, created_ms)
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-8'
    || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
  id, '', secret_hash, created_ms FROM principal;

ALTER TABLE principal DROP COLUMN secret_hash;
