-- Clusters that ask which images they may run, and say which they do.
CREATE TABLE cluster (
  name TEXT PRIMARY KEY COLLATE NOCASE,
  subscription_id TEXT NOT NULL REFERENCES subscription (id),
  -- SHA-256 of a random token.
  token_hash TEXT NOT NULL UNIQUE,
  -- JSON of its admission policy.
  policy TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  reported_ms INTEGER
) STRICT, WITHOUT ROWID;

-- What each cluster said last. The digest may be that of an image or of an index, ours or not.
CREATE TABLE running (
  digest TEXT NOT NULL,
  cluster TEXT NOT NULL COLLATE NOCASE REFERENCES cluster (name) ON DELETE CASCADE,
  namespace TEXT NOT NULL,
  workload TEXT NOT NULL,
  containers INTEGER NOT NULL,
  PRIMARY KEY (digest, cluster, namespace, workload)
) STRICT, WITHOUT ROWID;
CREATE INDEX running_by_cluster ON running (cluster);
