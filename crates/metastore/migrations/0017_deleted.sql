-- What was deleted softly: kept, blobs included, until the registry's days are over.
ALTER TABLE registry ADD COLUMN soft_delete INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN soft_delete_days INTEGER NOT NULL DEFAULT 7;
ALTER TABLE registry ADD COLUMN soft_delete_changed_ms INTEGER;

CREATE TABLE deleted_manifest (
  id INTEGER PRIMARY KEY,
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  digest TEXT NOT NULL,
  kind TEXT NOT NULL,
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  subject TEXT,
  annotations TEXT,
  bytes BLOB NOT NULL,
  pushed_ms INTEGER NOT NULL,
  pushed_by TEXT NOT NULL,
  deleted_ms INTEGER NOT NULL,
  UNIQUE (registry_id, repository, digest)
) STRICT;
CREATE INDEX deleted_manifest_by_time ON deleted_manifest (registry_id, deleted_ms);

-- What it needs, as in manifest_reference: a blob that is named here is not given back.
CREATE TABLE deleted_reference (
  manifest INTEGER NOT NULL REFERENCES deleted_manifest (id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  PRIMARY KEY (manifest, target)
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_reference_by_target ON deleted_reference (target);

CREATE TABLE deleted_tag (
  registry_id INTEGER NOT NULL REFERENCES registry (id) ON DELETE CASCADE,
  repository TEXT NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  deleted_ms INTEGER NOT NULL,
  PRIMARY KEY (registry_id, repository, name, digest)
) STRICT, WITHOUT ROWID;
