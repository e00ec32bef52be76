-- Times are milliseconds since 1970, UTC. Digests are text, algorithm:hex.

CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE subscription (
  id TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The plans of a subscription. Its registries are scanned while one of them is on.
CREATE TABLE plan (
  subscription_id TEXT NOT NULL REFERENCES subscription (id),
  name TEXT NOT NULL CHECK (name IN ('ContainerRegistry', 'Containers')),
  tier TEXT NOT NULL CHECK (tier IN ('Free', 'Standard')),
  changed_ms INTEGER NOT NULL,
  PRIMARY KEY (subscription_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE resource_group (
  subscription_id TEXT NOT NULL REFERENCES subscription (id),
  name TEXT NOT NULL COLLATE NOCASE,
  location TEXT NOT NULL,
  PRIMARY KEY (subscription_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE registry (
  id INTEGER PRIMARY KEY,
  subscription_id TEXT NOT NULL,
  resource_group TEXT NOT NULL COLLATE NOCASE,
  name TEXT NOT NULL COLLATE NOCASE UNIQUE,
  location TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  FOREIGN KEY (subscription_id, resource_group) REFERENCES resource_group (subscription_id, name)
) STRICT;

CREATE TABLE principal (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  secret_hash TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE role_assignment (
  id TEXT PRIMARY KEY,
  principal_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,
  role_id TEXT NOT NULL,
  scope TEXT NOT NULL COLLATE NOCASE,
  created_ms INTEGER NOT NULL,
  UNIQUE (principal_id, role_id, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE repository (
  id INTEGER PRIMARY KEY,
  registry_id INTEGER NOT NULL REFERENCES registry (id),
  name TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  UNIQUE (registry_id, name)
) STRICT;

-- Bytes that are in the blob store, verified and durable.
CREATE TABLE blob (
  digest TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A blob is visible in a repository through its link alone.
CREATE TABLE repository_blob (
  repository_id INTEGER NOT NULL REFERENCES repository (id),
  digest TEXT NOT NULL REFERENCES blob (digest),
  linked_ms INTEGER NOT NULL,
  PRIMARY KEY (repository_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blob_by_digest ON repository_blob (digest);

CREATE TABLE manifest (
  repository_id INTEGER NOT NULL REFERENCES repository (id),
  digest TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('image', 'artifact', 'index')),
  media_type TEXT NOT NULL,
  artifact_type TEXT,
  subject TEXT,
  annotations TEXT,
  bytes BLOB NOT NULL,
  pushed_ms INTEGER NOT NULL,
  pushed_by TEXT NOT NULL,
  PRIMARY KEY (repository_id, digest)
) STRICT;
CREATE INDEX manifest_by_digest ON manifest (digest);
CREATE INDEX manifest_by_subject ON manifest (repository_id, subject) WHERE subject IS NOT NULL;

-- What a manifest needs: its config and layers, or its children.
CREATE TABLE manifest_reference (
  repository_id INTEGER NOT NULL,
  manifest TEXT NOT NULL,
  target TEXT NOT NULL,
  PRIMARY KEY (repository_id, manifest, target),
  FOREIGN KEY (repository_id, manifest) REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_reference_by_target ON manifest_reference (repository_id, target);

CREATE TABLE tag (
  repository_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  updated_ms INTEGER NOT NULL,
  PRIMARY KEY (repository_id, name),
  FOREIGN KEY (repository_id, digest) REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_by_digest ON tag (repository_id, digest);

CREATE TABLE upload (
  id TEXT PRIMARY KEY,
  repository_id INTEGER NOT NULL REFERENCES repository (id),
  principal TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  received INTEGER NOT NULL,
  hash_state BLOB NOT NULL,
  touched_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_by_touch ON upload (touched_ms);

CREATE TABLE layer_inventory (
  digest TEXT NOT NULL,
  extractor INTEGER NOT NULL,
  document BLOB NOT NULL,
  PRIMARY KEY (digest, extractor)
) STRICT;

-- What is known of one image digest: its inventory, and the verdict with what it rests on.
CREATE TABLE image (
  digest TEXT PRIMARY KEY,
  extractor INTEGER NOT NULL,
  inventory_digest TEXT NOT NULL,
  inventory BLOB NOT NULL,
  snapshot TEXT,
  engine TEXT NOT NULL,
  state TEXT NOT NULL,
  causes TEXT NOT NULL,
  first_judged_ms INTEGER NOT NULL,
  judged_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE finding (
  image TEXT NOT NULL REFERENCES image (digest) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  severity TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (image, position)
) STRICT;

-- What a subscription is charged for: each image digest once, when it was first judged there.
-- Stays when the image goes.
CREATE TABLE metered (
  subscription_id TEXT NOT NULL REFERENCES subscription (id),
  image TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (subscription_id, image)
) STRICT, WITHOUT ROWID;
CREATE INDEX metered_by_time ON metered (subscription_id, at_ms);

-- Which images hold which source package of which advisory namespace.
-- The empty package stands for "is judged by this namespace at all".
CREATE TABLE image_package (
  namespace TEXT NOT NULL,
  package TEXT NOT NULL,
  image TEXT NOT NULL REFERENCES image (digest) ON DELETE CASCADE,
  PRIMARY KEY (namespace, package, image)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_package_by_image ON image_package (image);

CREATE TABLE job (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ready', 'running')),
  -- Asked for again while it was running: runs once more when done.
  again INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_ms INTEGER NOT NULL,
  lease_ms INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  UNIQUE (kind, key)
) STRICT;
CREATE INDEX job_by_due ON job (state, due_ms);

CREATE TABLE feed (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  origin TEXT NOT NULL,
  etag TEXT,
  last_modified TEXT,
  payload TEXT NOT NULL,
  records INTEGER NOT NULL,
  fetched_ms INTEGER NOT NULL,
  checked_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
